"""The scanner of secrets in files: tells in which line of which file one stands and of what kind it is, never which."""

from __future__ import annotations

from typing import Any

from jobs.clients import tree
from jobs.clients.errors import ClientError
from jobs.clients.tree import Told, Trees
from jobs.security.filesystem.judgement import CREDENTIALS, PRIVATE_KEYS
from jobs.security.filesystem.missing import tell_missed, tell_unread
from jobs.security.filesystem.places import mounted, searched
from jobs.security.scanner import Area, Look, Scanner, Weakness
from jobs.security.secret_patterns import RULES

HOMES = (CREDENTIALS.pattern, PRIVATE_KEYS.pattern, r".*\.(?:pem|key|p8|pk8|ppk|jwk)", r".*/\.(?:ssh|gnupg)/.*")
"""Files in which secrets belong, as long as others may not read them."""
MAX_TOLD = 10_000
_BY_NAME = {rule.name: rule for rule in RULES}


def scan(look: Look) -> None:
    """Search every text of the scope; tell where secrets stand, and what was left out."""
    settings, clients = look.settings.filesystem, look.clients
    places = searched(settings, clients.base_dir, mounted(clients.host), full=look.full)
    look.detail("searched", [tree.shown(root) for root in places.roots])
    told, finds = Told(), _Finds(look)
    look.go_on()
    order = order_of(places, settings.max_searched_mb << 20)
    try:
        for record in tree.records("jobs.clients.secret_search", order, told, timeout_seconds=look.left_seconds):
            finds.take(*record)
    except ClientError:
        look.go_on()
        raise
    finally:
        look.scanned(told.looked_at)
        tell_unread(look, told)
        finds.tell_rest(settings.max_searched_mb)


def order_of(places: Trees, max_bytes: int, *, without_hyperscan: bool = False) -> dict[str, Any]:
    """What the program that searches is told."""
    rules = [[rule.name, rule.pattern, rule.guess, rule.spans_lines] for rule in RULES]
    limits = {"max_bytes": max_bytes, "without_hyperscan": without_hyperscan}
    return {**tree.orders_of(places), "rules": rules, "homes": [*HOMES], **limits}


class _Finds:
    """Takes what the program tells: hits become weaknesses, the rest is counted."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._large: list[str] = []
        self._binary = self._told = 0

    def take(self, kind: str, *record: Any) -> None:
        """One record."""
        if kind == "engine":
            self._look.detail("engine", record[0])
        elif kind == "large":
            self._large.append(tree.shown(record[0]))
        elif kind == "binary":
            self._binary += 1
        else:
            self._told += 1
            if self._told <= MAX_TOLD:
                self._look.found(weakness_of(*record))

    def tell_rest(self, max_mb: int) -> None:
        """What was left out."""
        self._look.detail("binary_files", self._binary)
        large = sorted(self._large)
        tell_missed(self._look, len(large), large, f"are larger than {max_mb} MB", large)
        if self._told > MAX_TOLD:
            self._look.missed(f"{self._told - MAX_TOLD:,} more secrets were found than are listed")


def weakness_of(path: str, name: str, nth: int, line: int, hits: int) -> Weakness:
    """A hit as a weakness: of several of a rule within a file the second is `PATH#2`, as lines move."""
    rule, where = _BY_NAME[name], tree.shown(path)
    more = f" ({hits} in this file)" if hits > 1 and nth == 1 else ""
    return Weakness(
        f"secret_{name}",
        where if nth == 1 else f"{where}#{nth}",
        rule.severity,
        f"{where}, line {line}: {rule.what}{more}",
        "move it to a file in secrets_secure/ (0600), and replace it: it counts as known to whoever could read this",
        where,
        line,
    )


SECRETS = Scanner("secrets", Area.FILESYSTEM, "Secrets in files", "texts", scan)
