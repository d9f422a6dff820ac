"""The exporter's own configuration file: secrets that stand in it, and who may read and write it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from jobs.security.configuration.located_yaml import Fields, Scalar, Value, items, read
from jobs.security.configuration.rules import ConfigFile
from jobs.security.passwords import in_urls, is_judged, judge_value
from jobs.security.scanner import Weakness

_DSN_WITH_PASSWORD = re.compile(r"(?:^|\s)password\s*=\s*\S", re.IGNORECASE)


def judge_own(file: ConfigFile) -> Iterator[Weakness]:
    """What is weak in the exporter's configuration file."""
    if file.mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield file.weakness("writable_configuration", "mode", "others than its owner may write it")
    readable = bool(file.mode & stat.S_IROTH)
    for key, scalar in _secrets(read(file.text), ""):
        if readable:
            yield file.weakness("readable_secrets", key, "every user of the machine can read this secret", scalar.line)
        else:
            yield file.weakness("secret_in_configuration", key, "a secret stands in the file", scalar.line)
        if judged := judge_value(key.rpartition(".")[2], scalar.text or ""):
            yield file.weakness(judged.rule, key, judged.message, scalar.line)


def _secrets(value: Value, key: str) -> Iterator[tuple[str, Scalar]]:
    """Every secret in the document, with the key that leads to it."""
    if isinstance(value, Fields):
        for name, inner in value.values.items():
            yield from _secrets(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, Scalar):
        name, text = key.rpartition(".")[2], value.text or ""
        in_url = any(password for _, password in in_urls(text))
        if text and (is_judged(name) or in_url or _DSN_WITH_PASSWORD.search(text)):
            yield key, value
    else:
        for number, item in enumerate(items(value)):
            yield from _secrets(item, f"{key}.{number}")
