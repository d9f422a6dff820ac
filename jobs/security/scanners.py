"""Every scanner there is, in the order of the report."""

from __future__ import annotations

from jobs.security.code.semgrep import CODE
from jobs.security.configuration.files import CONFIGURATION
from jobs.security.containers.audit import AUDIT
from jobs.security.containers.images import IMAGES
from jobs.security.filesystem.modes import MODES
from jobs.security.filesystem.secrets import SECRETS
from jobs.security.network.firewall import FIREWALL
from jobs.security.network.kernel import KERNEL
from jobs.security.network.listening import LISTENING
from jobs.security.network.services import SERVICES
from jobs.security.network.tls import TLS
from jobs.security.scanner import Scanner

SCANNERS: tuple[Scanner, ...] = (
    *(AUDIT, IMAGES, MODES, SECRETS, LISTENING, SERVICES, FIREWALL, KERNEL, TLS),
    *(CODE, CONFIGURATION),
)
