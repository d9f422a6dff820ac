"""Stands for a Redis that was built with its own jemalloc, which Debian's was not: it can defragment while it runs.

It stands before a real server and passes everything on, but for what is told of the memory and `activedefrag`.
"""

from __future__ import annotations

import socket
import threading

from jobs.clients.redis_wire import BadReply, ErrorReply, Reply, Wire
from tests.services.redis import RedisServer
from tests.stand_ins import TcpServer

MIB = 1 << 20


class DefragmentingRedis:
    """`active_defrag` is the setting; while it is on, each look at INFO finds half as much fragmented.

    `commands` are all that came. After `looks_left` of these the connection is
    lost; one that `refuses` hangs up at once.
    """

    def __init__(
        self, server: RedisServer, *, active_defrag: str = "no", hangs_up_after: int = 1000, refuses_then: bool = False
    ) -> None:
        self.active_defrag, self.commands = active_defrag, list[list[str]]()
        self.refuses = False
        self.fragmented_bytes, self.retained_bytes = 512 * MIB, 0
        self._server, self.looks_left, self._refuses_then = server, hangs_up_after, refuses_then
        self.listener = TcpServer(self._serve)

    @property
    def url(self) -> str:
        """Its URL, with the password of the server behind it."""
        return f"redis://:{self._server.password}@127.0.0.1:{self.listener.port}/0"

    def _serve(self, connection: socket.socket, closing: threading.Event) -> None:
        if self.refuses:
            return
        with socket.create_connection((self._server.host, self._server.port)) as behind:
            server, client = Wire(behind, 30), Wire(connection, 30)
            while True:
                client.limit(30)
                words = [str(word) for word in client._reply(0) or []]  # type: ignore[union-attr]
                self.commands.append(words)
                try:
                    reply = self._answer(words, server)
                except ErrorReply as error:
                    connection.sendall(f"-{error}\r\n".encode())
                except BadReply:  # nothing: one of the two sides has gone
                    return
                else:
                    connection.sendall(_encoded(reply))

    def _answer(self, words: list[str], server: Wire) -> Reply:
        if words[:3] == ["CONFIG", "GET", "activedefrag"]:
            return ["activedefrag", self.active_defrag]
        if words[:3] == ["CONFIG", "SET", "activedefrag"]:
            self.active_defrag = words[3]
            return "OK"
        if words == ["MEMORY", "PURGE"]:
            self.retained_bytes = 0
            return "OK"
        reply = server.ask(*words)
        return self._with_memory(str(reply)) if words == ["INFO"] else reply

    def _with_memory(self, info: str) -> str:
        if self.active_defrag == "yes":
            self.looks_left -= 1
            if self.looks_left < 0:
                self.refuses = self._refuses_then
                raise ConnectionError
            self.retained_bytes += self.fragmented_bytes // 2
            self.fragmented_bytes //= 2
        active = 256 * MIB + self.fragmented_bytes
        mine = {
            "mem_allocator": "jemalloc-5.1.0",
            "allocator_allocated": 256 * MIB,
            "allocator_active": active,
            "allocator_resident": active + self.retained_bytes,
            "used_memory_rss": active + self.retained_bytes + MIB,
            "active_defrag_running": 25 if self.active_defrag == "yes" else 0,
        }
        theirs = [line for line in info.splitlines() if line.partition(":")[0] not in mine]
        return "\r\n".join([*theirs, *(f"{name}:{value}" for name, value in mine.items())])


def _encoded(reply: Reply) -> bytes:
    if isinstance(reply, list):
        return b"*%d\r\n%s" % (len(reply), b"".join(_encoded(one) for one in reply))
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None:
        return b"$-1\r\n"
    text = reply.encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)
