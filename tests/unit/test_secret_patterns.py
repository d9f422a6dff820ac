"""What looks like a secret and what only stands in its place; both engines find the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.clients.matcher import Matcher, looser
from jobs.clients.secret_search import Hits, SecretSearch, _cut
from jobs.core.placeholders import bits, is_placeholder, is_secret
from jobs.security.secret_patterns import RULES
from tests.services.planted import CLEAN, PLANTED, mixed, private_key

NAMES = [rule.name for rule in RULES]
SPANNING = [number for number, rule in enumerate(RULES) if rule.spans_lines]


class Told:
    """Stands for the way out of the program that searches."""

    def __init__(self) -> None:
        self.records: list[tuple[object, ...]] = []

    def tell(self, *record: object) -> None:
        self.records.append(record)


def search(*, without_hyperscan: bool = False) -> SecretSearch:
    orders = {
        "rules": [[rule.name, rule.pattern, rule.guess, rule.spans_lines] for rule in RULES],
        **{
            "skipped": [],
            "absolute": [],
            "ends": [],
            "homes": [],
            "max_bytes": 1 << 20,
            "without_hyperscan": without_hyperscan,
        },
    }
    return SecretSearch(orders, Told())  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[False, True], ids=["hyperscan", "re"])
def engine(request: pytest.FixtureRequest) -> SecretSearch:
    return search(without_hyperscan=request.param)


def found(searching: SecretSearch, text: str) -> dict[str, tuple[list[int], int]]:
    hits, content = Hits(), bytearray(text.encode())
    searching._take(content, len(content), hits)
    return {NAMES[number]: lines for number, lines in hits.by_rule.items()}


def every(table: dict[str, tuple[str, ...]]) -> list[tuple[str, int]]:
    return [(name, number) for name, texts in table.items() for number in range(len(texts))]


@pytest.mark.parametrize(("name", "number"), every(PLANTED))
def test_a_planted_secret_is_found_once_by_its_rule_and_line(engine: SecretSearch, name: str, number: int) -> None:
    text = f"# a file\n\n{PLANTED[name][number]}\nthe end\n"
    assert found(engine, text) == {name: ([3], 1)}


@pytest.mark.parametrize(("name", "number"), every(CLEAN))
def test_what_stands_in_a_secrets_place_is_none(engine: SecretSearch, name: str, number: int) -> None:
    assert found(engine, f"# a file\n{CLEAN[name][number]}\nthe end\n") == {}


def test_every_rule_has_its_example() -> None:
    assert PLANTED.keys() == set(NAMES)
    assert len(NAMES) >= 15


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_pattern_is_one_that_both_engines_read_alike(rule) -> None:  # type: ignore[no-untyped-def]
    assert not re.search(r"\(\?[=!<]|\\s|\\S|\\[1-9]|(?<!\\)[*+](?!/)(?![^\[]*\])|\{\d+,\}", rule.pattern)
    assert bool(re.search(r"(?<!\^)\[\\r\\n", rule.pattern)) == rule.spans_lines


def test_hyperscan_compiles_them_all_where_it_is_installed() -> None:
    pytest.importorskip("hyperscan")
    assert Matcher([rule.pattern for rule in RULES], spanning=SPANNING).engine == "hyperscan"


_PIECES = st.one_of(
    st.sampled_from([text for texts in PLANTED.values() for text in texts]),
    st.sampled_from([text for texts in CLEAN.values() for text in texts]),
    st.sampled_from(["\n", "\r\n", " ", "=", ":", '"', "'", "\\n", "password", "token=", "eyJ", "sk-", "AKIA", "\0"]),
    st.text(max_size=30),
    st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")),
)
_BOTH = [Matcher([r.pattern for r in RULES], spanning=SPANNING, use_hyperscan=use) for use in (True, False)]


@settings(max_examples=300)
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_both_engines_find_the_same(text: str) -> None:
    content = bytearray(text.encode())
    fast, slow = ([(n, m.span()) for n, m in matcher.matches(content, len(content))] for matcher in _BOTH)
    assert fast == slow


def test_the_looser_form_of_a_pattern() -> None:
    assert looser("a{3,9}") == "a{3}"
    assert looser("(?:x|(?P<v>[ab]{3,9}))") == "(?:x|(?P<v>[ab]{3}))"
    assert looser("[ ]{0,8}a{3,9}b{2}") == "[ ]{0,}a{3,}b{2}"


def test_several_of_a_rule_are_counted_and_their_lines_kept(engine: SecretSearch) -> None:
    text = "".join(f"x\nPOSTGRES_PASSWORD={mixed(14)}\n" for _ in range(50))
    lines, count = found(engine, text)["password"]
    assert count == 50
    assert lines == [2 * number for number in range(1, 21)]


def test_a_secret_that_two_rules_know_is_told_by_the_surer(engine: SecretSearch) -> None:
    assert found(engine, f"token: ghp_{mixed(36)}\n").keys() == {"github_token"}
    assert found(engine, f"password: {PLANTED['jwt'][0]}\n").keys() == {"jwt"}


def test_a_piece_ends_before_a_key_that_has_just_begun() -> None:
    before = b"a line\n" * 1000
    content = bytearray(before + private_key().encode()[:60])
    assert _cut(content, len(content)) == len(before)
    assert _cut(bytearray(b"a line\nbroken"), 13) == 7
    assert _cut(bytearray(b"no end"), 6) == 6


@pytest.mark.parametrize("value", [b"k7QzR4tPw9", b"T!ger-99-Lilies", b"correct9Staple7Battery#Horse"])
def test_mixed_values_are_secrets(value: bytes) -> None:
    assert is_secret(value)
    assert not is_placeholder(value)


@given(st.binary(max_size=200))
def test_any_value_can_be_judged(value: bytes) -> None:
    assert is_placeholder(value) in (True, False)
    assert not (is_secret(value) and is_placeholder(value))


def test_bits_of_each_letter() -> None:
    assert bits(b"aaaa") == 0
    assert bits(b"abcd") == 2


HOSTILE = {
    "keywords": b"password=" * 100_000,
    "begins": b"-----BEGIN " * 100_000,
    "eyJ": b"-eyJ" * 250_000,
    "long word": b"A" * 1_000_000,
    "dots": b"eyJaaaaaaaaaa.eyJ" * 60_000,
    "colons": b"redis://" * 100_000,
    "equal signs": b"token" + b" " * 8 + b"=" * 1_000_000,
    "nested": b"(((((" * 100_000 + b"[" * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_text_takes_a_search_long(engine: SecretSearch, kind: str) -> None:
    content = bytearray(HOSTILE[kind])
    engine._take(content, len(content), Hits())


@pytest.mark.parametrize("value", [b"(" * 100_000, b"a." * 50_000, b"a(" * 50_000, b"<" * 100_000, b"${" * 50_000])
def test_no_value_takes_a_judgement_long(value: bytes) -> None:
    is_secret(value[:200])
