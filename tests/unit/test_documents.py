"""YAML as untrusted input: what is accepted, what is refused, and with which one line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.documents import MAX_BYTES, DocumentError, read_yaml

ALIAS_BOMB = """
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("", None),
        ("'80'", "80"),
        ("[1, two]", [1, "two"]),
        ("a: {b: [c]}", {"a": {"b": ["c"]}}),
        ("a:\n  - b: 1\n  - b: 2\n", {"a": [{"b": 1}, {"b": 2}]}),
    ],
)
def test_plain_values_are_read(text: str, value: object) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    ["010", "1:30", "0x1F", "0b11", "0o7", "1_000", "yes", "on", "No", ".nan", ".inf", "-.INF", "1e999", "9" * 400,
     "80abc", "2026-03-02", "+5", "1.", ".5"],
)  # fmt: skip
def test_what_yaml_1_1_would_guess_at_stays_text(text: str) -> None:
    assert read_yaml(text) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ALIAS_BOMB, "line 3: aliases are not accepted"),
        ("a: *nothing", "line 1: aliases are not accepted"),
        ("a: &a [*a]", "aliases are not accepted"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
        ("x: {a: 1, a: 2}", "line 1: the key 'a' is given twice"),
        ("1: x", "line 1: a key must be text"),
        ("? [a, b]\n: x", "line 1: a key must be text"),
        ("null: x", "a key must be text"),
        ("a: !!python/object/apply:os.system ['true']", "line 1: tags are not accepted"),
        ("a: !!binary aGk=", "line 1: tags are not accepted"),
        ("a: !!timestamp 2026-01-01", "line 1: tags are not accepted"),
        ("a: !!float .nan", "line 1: tags are not accepted"),
        ("!!set {a, b}", "tags are not accepted"),
        ("a: !secret x", "tags are not accepted"),
        ("a: [1, 2", "line 1"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("\tx: 1", "line 1"),
        ("a: 'b", "line 1"),
        ("a: \x00", "special characters are not allowed"),
        ("a\n---\nb", "line 2"),
        ("#" * (MAX_BYTES + 1), f"longer than {MAX_BYTES} characters"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_doubtful_documents_are_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_yaml(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "{a: " * 20_000,
        "[" * 20_000 + "]" * 20_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "- " * 20_000,
        "".join("  " * n + "a:\n" for n in range(500)),
    ],
    ids=["brackets", "braces", "closed brackets", "deep JSON", "dashes", "indented"],
)
def test_depth_is_bounded_before_it_costs_anything(text: str) -> None:
    began = time.process_time()
    with pytest.raises(DocumentError, match="nested deeper than 32"):
        read_yaml(text)
    assert time.process_time() - began < 2


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read_yaml(text)
    except DocumentError as error:
        assert "\n" not in str(error)
