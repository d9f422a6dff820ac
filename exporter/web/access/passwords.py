"""Passwords of basic authentication, checked against bcrypt hashes as the exporter-toolkit does it.

A bcrypt costs tens of milliseconds on purpose. So what it said is remembered by a keyed digest, one is computed at a
time, on a thread of its own, and of those who wait for one there may be only so many. Who has guessed too often waits
before it is looked at; a right password is let in even then.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from exporter.web.access.lockout import Lockout, client_name

logger = logging.getLogger(__name__)
MAX_WRONG = 100
"""So many wrong ones are remembered, as in the toolkit."""
MAX_WAITING = 16
MAX_WAITING_OF_ONE_CLIENT = 4
LONGEST_DELAY_SECONDS = 2.0
"""Less than any scrape's time-out: a right password is only late."""
BCRYPT_BYTES = 72
"""bcrypt looks at no more of a password; Go's cuts longer ones silently, so do we."""
_NOBODYS = b"QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
"""Salt and digest for a user who is not there; the toolkit's own, which no password of ours is compared with."""


class TooMany(Exception):
    """So many others wait to be looked at that this one is not."""


class Passwords:
    """Tells right passwords from wrong ones, at the same cost whether the user is known or not."""

    def __init__(self, lockout: Lockout) -> None:
        self._lockout = lockout
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._waiting: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting_of: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")

    async def are_right(self, users: Mapping[bytes, bytes], name: bytes, password: bytes, address: str) -> bool:
        """Whether a user has this password; raise TooMany."""
        hashed, known = users.get(name), name in users
        if hashed is None:
            hashed = _nobodys_hash(users)
        key = self._digest(name, hashed, password)
        if self._right.get(name) == key:
            return known
        if key in self._wrong:
            self._wrong.move_to_end(key)
            return False
        if key not in self._waiting:
            self._begin(key, name if known else None, hashed, password, address)
        return await asyncio.shield(self._waiting[key])

    def _begin(self, key: bytes, name: bytes | None, hashed: bytes, password: bytes, address: str) -> None:
        client = client_name(address)
        if len(self._waiting) >= MAX_WAITING or self._waiting_of[client] >= MAX_WAITING_OF_ONE_CLIENT:
            raise TooMany
        self._waiting_of[client] += 1
        self._waiting[key] = task = asyncio.create_task(self._judge(key, name, hashed, password, address))
        task.add_done_callback(lambda task: self._end(key, client))

    def _end(self, key: bytes, client: str) -> None:
        del self._waiting[key]
        self._waiting_of -= Counter({client: 1})  # drops what is no longer above zero

    async def _judge(self, key: bytes, name: bytes | None, hashed: bytes, password: bytes, address: str) -> bool:
        delay = min(self._lockout.wait(address), LONGEST_DELAY_SECONDS)
        if delay:
            await asyncio.sleep(delay)
        loop = asyncio.get_running_loop()
        fits = await loop.run_in_executor(self._thread, _fits, password, hashed)
        if fits and name is not None:
            self._right[name] = key
            return True
        self._wrong[key] = None
        if len(self._wrong) > MAX_WRONG:
            self._wrong.popitem(last=False)
        return False

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in parts:
            digest.update(b"%d:%s" % (len(part), part))
        return digest.digest()


def _nobodys_hash(users: Mapping[bytes, bytes]) -> bytes:
    """What an unknown user's password is compared with: it costs what the most costly of the known ones does."""
    cost = max((hashed[4:6] for hashed in users.values()), default=b"10")
    return b"$2y$%s$%s" % (cost, _NOBODYS)


def _fits(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # only where there are users

    return bcrypt.checkpw(password[:BCRYPT_BYTES], hashed)
