"""The kernel's settings of the network, of the namespace that this process is in (kernel's ip-sysctl)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jobs.clients.errors import ClientError

NET = Path("/proc/sys/net")


def interfaces(version: int, *, net: Path = NET) -> list[str]:
    """The interfaces with settings of IPv4 (4) or IPv6 (6), `all` and `default` among them; none where it is off."""
    try:
        return sorted(entry.name for entry in (net / f"ipv{version}/conf").iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ClientError(f"{net}/ipv{version}/conf: {error.strerror}") from None


def values(names: Iterable[str], *, net: Path = NET) -> dict[str, int]:
    """The numbers of settings (`ipv4/ip_forward`) that are there; ClientError where one cannot be read."""
    found = {}
    for name in names:
        try:
            found[name] = int((net / name).read_text("ascii"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no number"
            raise ClientError(f"{net}/{name}: {reason}") from None
    return found
