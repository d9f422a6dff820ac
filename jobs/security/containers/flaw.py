"""What a judge of containers says, and what it may know of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jobs.core.model import Severity
from jobs.security.containers.container import Audited


@dataclass(frozen=True)
class Flaw:
    """A weakness of one container. `says` goes on after its name ("runs as root").

    `thing` tells apart what one rule finds more than once in a container: a port, a capability, a path.
    """

    rule: str
    severity: Severity
    says: str
    remedy: str
    thing: str = ""


@dataclass(frozen=True)
class Engine:
    """What the engine gives every container: whether its root is nobody on the host, and whether no program in it may
    gain privileges unless a container says otherwise.
    """

    remaps_root: bool = False
    no_new_privileges: bool = False


Judge = Callable[[Audited, Engine], Iterator[Flaw]]
