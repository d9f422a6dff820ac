"""A network namespace of a test's own: nothing listens in it, nothing filters, and nobody else reaches it.

Only in one may something listen on all addresses. Its loopback interface has two more addresses, which stand for those
that others reach a host at.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.services.binaries import need, need_root
from tests.services.process import Process, private_directory, remove_directory

IPV4, IPV6 = "198.51.100.5", "2001:db8::5"
"""Of the ranges for documentation (RFC 5737, RFC 3849)."""

_CLONE_NEWNET = 0x40000000
_LISTEN = """
import ctypes, socket, sys, time
name, protocol, address, port = bytes.fromhex(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_INET6 and "only" in sys.argv:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
listener.bind((address, port))
if protocol == "tcp":
    listener.listen()
ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
print("listening", flush=True)
time.sleep(3600)
"""


class NetworkWorld:
    """A namespace; `entered` moves this test into it, and its threads and programs are born there."""

    def __init__(self) -> None:
        need_root("a network namespace")
        self._ip = need("ip", package="iproute2")
        self.directory = private_directory("network")
        self.name = f"sutazai-{secrets.token_hex(4)}"
        self._stack = ExitStack()
        self._run("netns", "add", self.name)
        self._stack.callback(self._run, "netns", "del", self.name)
        for address in (f"{IPV4}/32", f"{IPV6}/128"):
            self._run("-n", self.name, "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
        self._run("-n", self.name, "link", "set", "lo", "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it; /proc/net is what the main thread sees, so nowhere else."""
        assert threading.current_thread() is threading.main_thread()
        with Path("/proc/self/ns/net").open() as home, Path("/run/netns", self.name).open() as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def listener(self, protocol: str, address: str, port: int, name: bytes = b"planted", *options: str) -> Process:
        """A process called `name` that listens in it; it ends with this namespace."""
        log = self.directory / f"{secrets.token_hex(4)}.log"
        argv = [sys.executable, "-S", "-E", "-c", _LISTEN, name.hex(), protocol, address, str(port), *options]
        with self.entered():  # wherever the test is: in the machine's own it would be in the way of others
            process = Process(argv, log_file=log)
        self._stack.callback(process.stop)
        process.wait_ready(lambda: "listening" in process.log(), f"{protocol} {address}:{port}")
        return process

    def ip(self, *arguments: str) -> None:
        """Run `ip` in it."""
        self._run("-n", self.name, *arguments)

    def close(self) -> None:
        """Remove it, with what listens in it."""
        self._stack.close()
        remove_directory(self.directory)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self._ip, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody, who may look at no process but his own and lists no rules."""
    # The real one as well: programs of the packet filter refuse to run for somebody else.
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def feed(program: str, rules: str) -> None:
    """Have a program that sets a packet filter read its rules, in the namespace that this test is in."""
    path = need(program, package="iptables" if "tables" in program else "nftables")
    arguments = ["-f", "-"] if program == "nft" else []
    done = subprocess.run([path, *arguments], input=rules, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def set_kernel(name: str, value: int) -> None:
    """Set a setting of the network (`ipv4/conf/all/rp_filter`) in the namespace that this test is in."""
    Path("/proc/sys/net", name).write_text(str(value))
