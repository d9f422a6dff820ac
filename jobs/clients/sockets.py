"""What listens on this host, TCP and UDP, IPv4 and IPv6, and which process it belongs to (proc_pid_net(5)).

Seen is the network namespace that this process is in: the host's, unless the exporter runs in a container without
`network_mode: host`. A socket whose process is another user's has no name unless root asks; the kernel's own have none.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jobs.clients.errors import ClientError
from jobs.core.containers import clean

PROC = Path("/proc")
TABLES = ("tcp", "tcp6", "udp", "udp6")
MAX_LISTENERS = 100_000
_USUAL_EPHEMERAL = (32768, 60999)
# include/net/tcp_states.h: a TCP socket that listens is in LISTEN, a UDP socket without a peer in CLOSE.
_WAITING = {"tcp": "0A", "udp": "07"}
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_UNIT = re.compile(r"[^/]+\.(?:service|socket|scope)")


@dataclass(frozen=True)
class Owner:
    """The process that a socket belongs to: of several the one that was there first.

    `unit` is systemd's (`nginx.service`) and `container_id` its container's, each empty where it is in none.
    """

    pid: int
    process: str
    unit: str
    container_id: str


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections, or datagrams from anybody. `owner` is None where it cannot be seen."""

    protocol: str
    address: str
    port: int
    user: str
    owner: Owner | None


@dataclass(frozen=True)
class Listing:
    """What listens, in the order of protocol, port and address.

    `ephemeral` are the first and last port that the kernel gives to sockets that ask for none, `all_seen` is whether
    every process could be looked at, `failures` say what could not be read.
    """

    listeners: tuple[Listener, ...]
    ephemeral: tuple[int, int]
    all_seen: bool
    failures: tuple[str, ...]


def listening(proc: Path = PROC) -> Listing:
    """Everything that listens; ClientError where not one table of sockets can be read."""
    found: list[tuple[str, str, int, int, int]] = []
    failures = []
    for table in TABLES:
        try:
            with (proc / "net" / table).open(encoding="ascii", errors="replace") as lines:
                found += parse_table(table, lines)
        except FileNotFoundError:
            # Without IPv6 there is no table of it. Without one of IPv4 this is no /proc at all.
            if not table.endswith("6"):
                failures.append(f"{proc}/net/{table} is not there")
        except (OSError, ValueError) as error:
            failures.append(f"{proc}/net/{table}: {getattr(error, 'strerror', None) or error}")
    if len(failures) >= 2 and not found:
        raise ClientError(f"the sockets of this host cannot be read: {'; '.join(failures)}")
    owners, all_seen = _owners(proc, {inode for *_, inode in found if inode})
    listeners = {
        Listener(protocol, address, port, _user(uid), owners.get(inode)): None
        for protocol, address, port, uid, inode in found
    }
    ordered = sorted(listeners, key=lambda one: (one.protocol, one.port, one.address, one.user))
    return Listing(tuple(ordered), _ephemeral(proc), all_seen, tuple(failures))


def parse_table(table: str, lines: Iterable[str]) -> Iterator[tuple[str, str, int, int, int]]:
    """Given the lines of a table of sockets, yield protocol, address, port, user id and inode of those that listen.

    Raise ValueError where it is not such a table.
    """
    protocol = table.removesuffix("6")
    count = 0
    for line in islice(lines, 1, None):
        fields = line.split()
        if len(fields) < 10:
            raise ValueError("it is no table of sockets")
        if fields[3] != _WAITING[protocol]:
            continue
        count += 1
        if count > MAX_LISTENERS:
            raise ValueError(f"more than {MAX_LISTENERS} sockets listen")
        address, _, port = fields[1].partition(":")
        yield protocol, _address(address), int(port, 16), int(fields[7]), int(fields[9])


def own_addresses() -> list[str]:
    """The addresses of this host in its network namespace, link-local ones of IPv6 with their scope left out.

    ClientError where the kernel does not tell them.
    """
    import psutil

    try:
        interfaces = psutil.net_if_addrs()
    except OSError as error:
        raise ClientError(
            f"the addresses of this host cannot be read: {error.strerror} (AF_NETLINK is needed)"
        ) from None
    families = (socket.AF_INET, socket.AF_INET6)
    return [
        entry.address.partition("%")[0]
        for entries in interfaces.values()
        for entry in entries
        if entry.family in families
    ]


def _address(text: str) -> str:
    """An address as the kernel prints it: words of four bytes, each in this machine's order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"{'<' if sys.byteorder == 'little' else '>'}{len(words)}I", *words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _owners(proc: Path, inodes: AbstractSet[int]) -> tuple[Mapping[int, Owner], bool]:
    """The processes of these sockets, by inode, and whether every process could be looked at."""
    owners: dict[int, Owner] = {}
    pids = _pids(proc)
    all_seen = pids[:1] == [1]  # mounted with hidepid, /proc shows a user only his own
    for pid in pids:
        try:
            held = inodes & _sockets_of(proc, pid)
        except PermissionError:
            all_seen = False
            continue
        except OSError:  # it has ended meanwhile
            continue
        if held:
            owner = _owner(proc, pid)
            for inode in held:
                # systemd keeps sockets that it opened for a service: the service is whom they are about.
                if inode not in owners or owners[inode].pid == 1:
                    owners[inode] = owner
    return owners, all_seen


def _pids(proc: Path) -> list[int]:
    with os.scandir(proc) as entries:
        return sorted(int(entry.name) for entry in entries if entry.name.isdigit())


def _sockets_of(proc: Path, pid: int) -> set[int]:
    with os.scandir(proc / str(pid) / "fd") as descriptors:
        return set(_inodes(entry.path for entry in descriptors))


def _inodes(links: Iterable[str]) -> Iterator[int]:
    for link in links:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = os.readlink(link)  # noqa: PTH115 (a Path keeps every name for ever)
            if target.startswith("socket:["):
                yield int(target[8:-1])


def _owner(proc: Path, pid: int) -> Owner:
    groups = _content(proc / str(pid) / "cgroup")
    container, units = _CONTAINER.search(groups), _UNIT.findall(groups)
    return Owner(
        pid=pid,
        process=clean(_content(proc / str(pid) / "comm").strip(), 64),
        unit=clean(units[-1]) if units else "",
        container_id=container[0] if container else "",
    )


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # it has ended meanwhile, or is hidden
        return ""


def _user(uid: int) -> str:
    import pwd

    try:
        return clean(pwd.getpwuid(uid).pw_name, 64)
    except KeyError:
        return str(uid)


def _ephemeral(proc: Path) -> tuple[int, int]:
    try:
        first, last = _content(proc / "sys/net/ipv4/ip_local_port_range").split()
        return int(first), int(last)
    except ValueError:
        return _USUAL_EPHEMERAL
