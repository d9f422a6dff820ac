"""The scanners of the network, in the order of the report."""

from __future__ import annotations

from jobs.security.network.firewall import FIREWALL
from jobs.security.network.kernel import KERNEL
from jobs.security.network.listening import LISTENING
from jobs.security.network.services import SERVICES
from jobs.security.network.tls import TLS

SCANNERS = (LISTENING, SERVICES, FIREWALL, TLS, KERNEL)
