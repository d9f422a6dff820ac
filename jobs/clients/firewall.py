"""The packet filter's rules, as its own programs list them; nothing is changed, and no table is made by looking."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError, Refused

MAX_LISTING_BYTES = 32 << 20
PROC_NET = Path("/proc/net")
UFW = Path("/etc/ufw/ufw.conf")
FIREWALLD = Path("/run/firewalld.pid")
_NOT_ALLOWED = ("Operation not permitted", "Permission denied", "must be root")


@dataclass(frozen=True)
class Rules:
    """What was read. Each is None where it was not: the programs are missing or this user may not.

    `nftables` is what `nft -j list ruleset` prints, `ipv4` and `ipv6` the texts of iptables-save and its like.
    `complete_ipv4` and `complete_ipv6` say that no other rules can be there; `failures` why something was not read.
    """

    nftables: Any
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    complete_ipv4: bool
    complete_ipv6: bool
    failures: tuple[str, ...]
    managers: dict[str, str]


def read(timeout_seconds: float, *, proc_net: Path = PROC_NET) -> Rules:
    """The rules of this network namespace; Absent where none of the programs that list them is installed."""
    reading = _Reading(timeout_seconds)
    nftables = reading.nftables()
    ipv4, whole4 = reading.tables("iptables", proc_net / "ip_tables_names")
    ipv6, whole6 = reading.tables("ip6tables", proc_net / "ip6_tables_names")
    if not reading.installed:
        raise Absent("neither nft nor iptables-save is installed, so the packet filter's rules cannot be listed")
    seen = nftables is not None
    return Rules(
        nftables, ipv4, ipv6, seen and whole4, seen and whole6, tuple(dict.fromkeys(reading.failures)), _managers()
    )


class _Reading:
    """Runs the programs, and notes which of them failed."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self.installed = False
        self.failures: list[str] = []

    def nftables(self) -> Any:
        # Terse: the elements of sets are not of interest, and may be very many.
        printed = self._printed("nft", "--json", "--terse", "list", "ruleset")
        if printed is None:
            return None
        try:
            return json.loads(printed)
        except (ValueError, RecursionError):
            self.failures.append("nft printed what is not JSON")
            return None

    def tables(self, name: str, legacy: Path) -> tuple[tuple[str, ...], bool]:
        """The rules of iptables, and whether those of its legacy kind, which nft does not list, were seen too."""
        texts = [self._printed(f"{name}-save")]
        try:
            has_legacy = bool(legacy.read_text().strip())
        except FileNotFoundError:
            has_legacy = False
        except OSError as error:
            self.failures.append(f"{legacy}: {error.strerror}")
            return tuple(text for text in texts if text is not None), False
        if has_legacy:
            texts.append(self._printed(f"{name}-legacy-save"))
        return tuple(text for text in texts if text is not None), not has_legacy or texts[-1] is not None

    def _printed(self, *argv: str) -> str | None:
        try:
            printed = _run(argv, self._timeout_seconds)
        except Absent as error:
            if argv[0] == "nft" or "legacy" in argv[0]:
                self.failures.append(str(error))
            return None
        except ClientError as error:
            self.installed = True
            self.failures.append(str(error))
            return None
        self.installed = True
        return printed


def _run(argv: tuple[str, ...], timeout_seconds: float) -> str:
    path = commands.find(argv[0])
    kept = bytearray()
    with commands.Child([path, *argv[1:]], timeout_seconds=timeout_seconds) as child:
        for chunk in child.chunks():
            kept += chunk[: MAX_LISTING_BYTES + 1 - len(kept)]
        code, said = child.wait(check=False), child.stderr()
    if code != 0 and any(sign in said for sign in _NOT_ALLOWED):
        raise Refused(f"{argv[0]} may not list the rules (run the scan as root, or with CAP_NET_ADMIN)")
    if code != 0:
        raise ClientError(f"{argv[0]} ended with {code}: {commands.last_line(said)}")
    if len(kept) > MAX_LISTING_BYTES:
        raise ClientError(f"{argv[0]} printed more than {MAX_LISTING_BYTES >> 20} MiB")
    return kept.decode("utf-8", "replace")


def _managers() -> dict[str, str]:
    """Which of the programs that people manage a packet filter with are there: their rules are among the others."""
    found = {}
    try:
        text = UFW.read_text("utf-8", "replace")
        found["ufw"] = "enabled" if "enabled=yes" in text.lower().replace(" ", "").splitlines() else "disabled"
    except FileNotFoundError:
        pass
    except OSError as error:
        found["ufw"] = f"installed, its state is not known: {error.strerror}"
    if FIREWALLD.exists():
        found["firewalld"] = "running"
    return found
