"""Watches a pair of files from a process of its own, and prints how often it saw them, and each mismatch.

`python -m tests.services.pair_watcher CERT KEY STOP` makes the file STOP.begun and goes on until STOP is there. It
reads the certificate, the key, and the certificate again: where that has not changed, the key that was read in between
must be its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jobs.clients.certificates import digest_of_key, facts_of, parse_chain, parse_key
from jobs.clients.errors import ClientError


def main(cert: Path, key: Path, stop: Path) -> None:
    """Look until told to stop."""
    seen, known = set[str](), dict[bytes, str]()
    looks, wrong = 0, []
    stop.with_suffix(".begun").touch()
    while not stop.exists() or not looks:
        try:
            before, private, after = cert.read_bytes(), key.read_bytes(), cert.read_bytes()
            if before != after:
                continue
            for content, public in ((before, True), (private, False)):
                if content not in known:
                    known[content] = _certificate(content) if public else _key(content)
        except (OSError, ClientError) as error:
            wrong.append(str(error))
            continue
        looks += 1
        seen.add(known[before])
        if known[before] != known[private]:
            wrong.append("mismatch")
    print(looks, len(seen), *wrong[:5])  # noqa: T201


def _certificate(content: bytes) -> str:
    return facts_of(parse_chain(content, "it")[0]).key_digest


def _key(content: bytes) -> str:
    return digest_of_key(parse_key(content, "it").public_key())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
