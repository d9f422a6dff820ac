"""Configuration files in an archive: can they still be read as what they are?"""

from __future__ import annotations

import json
import re

MAX_DEPTH = 100
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Za-z_][A-Za-z0-9_.-]*\s*(?:=.*)?")


def problem_of(name: str, content: bytes) -> str:
    """What is wrong with a configuration file, empty where nothing is or its kind is not known.

    No values are told: they may be secrets. Nothing is built from YAML but its events, so aliases cannot multiply.
    """
    base = name.rpartition("/")[2].lower()
    try:
        text = content.decode()
        if base.endswith((".yml", ".yaml")):
            _parse_yaml(text)
        elif base.endswith(".json"):
            json.loads(text)
        elif base.endswith(".env") or base.startswith(".env"):
            return _env_problem(name, text)
    except UnicodeDecodeError:
        known = base.endswith((".yml", ".yaml", ".json", ".env")) or base.startswith(".env")
        return f"{name} is not UTF-8" if known else ""
    except RecursionError:
        return f"{name} is nested too deep"
    except _NotYaml as error:
        return f"{name} is not YAML (line {error})"
    except ValueError as error:
        return f"{name} is not JSON (line {getattr(error, 'lineno', '?')})"
    return ""


class _NotYaml(Exception):
    pass


def _parse_yaml(text: str) -> None:
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise RecursionError
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _NotYaml(mark.line + 1 if mark else "?") from None


def _env_problem(name: str, text: str) -> str:
    quoted = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quoted:
            quoted = "" if quoted in line else quoted
            continue
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if not _ASSIGNMENT.fullmatch(bare):
            return f"{name} has no assignment in line {number}"
        value = bare.partition("=")[2].strip()
        if value[:1] in ("'", '"') and value.count(value[0]) == 1:
            quoted = value[0]  # a value of several lines
    return f"{name} has a quotation that does not end" if quoted else ""
