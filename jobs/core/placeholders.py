"""Telling a secret from what stands in its place: a variable, an example, a word.

Nothing here keeps a value or gives a part of it back.
"""

from __future__ import annotations

import math
import re
from collections import Counter

_REFERENCE = re.compile(
    # A variable of a shell, a template, a format string, a path, a hash with its kind ($6$, $2b$), a tag of YAML.
    rb"\$[A-Za-z_{(].*|\$[0-9a-z-]{1,12}\$.*|%[(A-Z].*|[{<(\[/\\].*|![A-Za-z]+(?:[ /].*)?|[*&]\w+|\.{1,2}/.*"
    rb"|.*(?:\$\{|\{\{|\$\(|%\().*|.*<[A-Za-z _-]+>.*"
    rb"|(?:env|file|vault|secret|ssm|op|arn|https?|aws|gcp|azure|sops|enc)[:\[].*"
    rb"|.*(?:process\.env|os\.environ|getenv|import\.meta).*",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = re.compile(
    rb"example|sample|dummy|placeholder|change[-_ ]?(?:me|it|this)|your[-_ ]|insert|replace|redacted|todo|fixme|foobar"
    rb"|not[-_ ]?(?:a[-_ ])?(?:real|secret)|fake|x{4}|\*{3}|\.{3}|0{8}|123456789|abcdefgh|deadbeef|hunter2"
    rb"|correct.?horse|undefined|eyJzdWIiOiIxMjM0NTY3ODkwIi",
    re.IGNORECASE,
)
_CODE = re.compile(
    rb"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+|.*[A-Za-z_][(\[][^)\]]*[)\]].*|[A-Z][A-Z_]*|[a-z][a-z_-]*", re.DOTALL
)
_NAME = re.compile(
    rb"(?:test|user|pass|password|passwd|pwd|secret|token|admin|root|key|string|value|default|guest)[-_]?\d{0,2}", re.I
)
_LETTER, _DIGIT_OR_MARK = re.compile(rb"[A-Za-z]"), re.compile(rb"[0-9!#$%&*+?@^|]")
_KEYWORD = re.compile(rb"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)


def is_placeholder(value: bytes) -> bool:
    """Whether a value only stands in a secret's place: `${VAR}`, `<password>`, `changeme`, `xxxx`."""
    if _REFERENCE.fullmatch(value) or _WORDS.search(value) or _NAME.fullmatch(value):
        return True
    return len(set(value)) < 4


def is_secret(value: bytes) -> bool:
    """Whether a value is as mixed as secrets are: for what has no form of its own to be known by.

    Words, names of variables, calls and sentences are none; what has blanks is a sentence.
    """
    if is_placeholder(value) or b" " in value or _CODE.fullmatch(value):
        return False
    if not (_LETTER.search(value) and _DIGIT_OR_MARK.search(value)):
        return False
    if _KEYWORD.search(value) and len(value) < 24:
        return False
    return bits(value) >= _least_bits(len(value))


def bits(value: bytes) -> float:
    """Shannon's entropy of the value's bytes, in bits for each."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())


def _least_bits(length: int) -> float:
    """Random letters of a short value differ nearly all (log2 of its length); of a long one they have about 4 bits."""
    return min(3.2, 0.75 * math.log2(length))
