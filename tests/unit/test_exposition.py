"""The bodies of a scrape: both formats, plain and gzip, as other programs' parsers read them."""

from __future__ import annotations

import gzip
import math
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import Exposition, number
from exporter.process_figures import ProcessFigures
from exporter.web.accept import wants_gzip, wants_openmetrics
from jobs.core.model import Family, MetricType

GAUGE = Family(name="t_gauge", help="A gauge,\nwith \\ in its help.", labels=("a", "b"))
PLAIN = Family(name="t_plain", help="No labels.")
COUNTER = Family(name="t_things_total", help="A counter.", labels=("a",), type=MetricType.COUNTER)
HISTOGRAM = Family(name="t_seconds", help="A histogram.", labels=("a",), type=MetricType.HISTOGRAM)

finite = st.floats(allow_nan=False, allow_infinity=False)
any_text = st.text(st.characters(codec=None, categories=None), max_size=40)


@pytest.fixture
def exposition() -> Exposition:
    return Exposition((GAUGE, PLAIN, COUNTER, HISTOGRAM), max_series_per_family=1000)


def text(exposition: Exposition) -> str:
    return exposition.scrape(openmetrics=False, gzip=False).decode()


def values(exposition: Exposition, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a family, from the text, by their label values."""
    found = {}
    for family in parse_text(text(exposition)):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels.values())] = sample.value
    return found


# Formats


def test_text_is_as_the_format_says(exposition: Exposition) -> None:
    exposition.set("t_gauge", 1.5, {"b": "2", "a": '"\\\n'})
    exposition.set("t_things_total", 3, {"a": "x"})
    assert text(exposition) == (
        "# HELP t_gauge A gauge,\\nwith \\\\ in its help.\n"
        "# TYPE t_gauge gauge\n"
        't_gauge{a="\\"\\\\\\n",b="2"} 1.5\n'
        "# HELP t_things_total A counter.\n"
        "# TYPE t_things_total counter\n"
        't_things_total{a="x"} 3\n'
    )


def test_openmetrics_names_counters_without_their_suffix_and_ends_with_eof(exposition: Exposition) -> None:
    exposition.set("t_things_total", 3, {"a": "x"})
    body = exposition.scrape(openmetrics=True, gzip=False).decode()
    assert "# TYPE t_things counter\n" in body
    assert body.endswith('t_things_total{a="x"} 3\n# EOF\n')


def test_an_empty_exposition_is_one_too(exposition: Exposition) -> None:
    assert exposition.scrape(openmetrics=False, gzip=False) == b""
    assert exposition.scrape(openmetrics=True, gzip=False) == b"# EOF\n"
    assert gzip.decompress(exposition.scrape(openmetrics=True, gzip=True)) == b"# EOF\n"


def fill(exposition: Exposition) -> None:
    with exposition.changes():
        exposition.set("t_plain", -0.1)
        exposition.set("t_gauge", 1e300, {"a": "ü", "b": "\U0001f600"})
        exposition.set("t_things_total", 3, {"a": "x"})
        for bound, count in (("0.5", 1), ("1.0", 2), ("+Inf", 4)):
            exposition.set("t_seconds", count, {"a": "x", "le": bound}, suffix="_bucket")
        exposition.set("t_seconds", 7.5, {"a": "x"}, suffix="_sum")
        exposition.set("t_seconds", 4, {"a": "x"}, suffix="_count")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_other_programs_parsers_read_every_kind(exposition: Exposition, openmetrics: bool) -> None:
    fill(exposition)
    process = ProcessFigures()
    figures = process.openmetrics if openmetrics else process.text
    body = exposition.scrape(openmetrics=openmetrics, gzip=False, process=figures).decode()
    families = {f.name: f for f in (parse_openmetrics if openmetrics else parse_text)(body)}
    assert families["t_seconds"].type == "histogram"
    assert [s.value for s in families["t_seconds"].samples] == [1, 2, 4, 7.5, 4]
    assert families["t_gauge"].samples[0].labels == {"a": "ü", "b": "\U0001f600"}
    assert families["t_things"].type == "counter"
    assert families["process_cpu_seconds"].type == "counter"
    assert families["process_open_fds"].samples[0].value > 0


@pytest.mark.parametrize("openmetrics", [False, True])
def test_gzip_is_one_member_that_holds_the_same(exposition: Exposition, openmetrics: bool) -> None:
    fill(exposition)
    tail = b"# figures of the moment\n" * 100
    packed = exposition.scrape(openmetrics=openmetrics, gzip=True, process=lambda: tail)
    plain = exposition.scrape(openmetrics=openmetrics, gzip=False, process=lambda: tail)
    member = zlib.decompressobj(wbits=31)
    assert member.decompress(packed) == plain
    assert member.eof
    assert member.unused_data == b""  # curl and others stop after the first member


@given(st.binary(max_size=65000))
@settings(max_examples=30)
def test_any_tail_fits_behind_the_compressed_part(tail: bytes) -> None:
    exposition = Exposition((PLAIN,))
    exposition.set("t_plain", 1)
    assert gzip.decompress(exposition.scrape(openmetrics=False, gzip=True, process=lambda: tail)).endswith(tail)


# Values and labels


@given(st.one_of(finite, st.integers(-(10**20), 10**20), st.sampled_from([math.inf, -math.inf, 0.1 + 0.2, 1e15, 1e16])))
def test_a_number_is_read_back_as_it_was(value: float) -> None:
    assert float(number(value)) == float(value)


def test_not_a_number_is_written_as_such() -> None:
    assert number(math.nan) == "NaN"


@given(st.dictionaries(st.tuples(any_text, any_text), finite, max_size=8))
@settings(max_examples=150)
def test_any_label_value_is_read_back_by_both_parsers(series: dict[tuple[str, str], float]) -> None:
    exposition = Exposition((GAUGE,))
    exposition.replace("t_gauge", [({"a": a, "b": b}, value) for (a, b), value in series.items()])
    expected = {}
    for (a, b), value in series.items():
        expected[clean(a), clean(b)] = value
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        body = exposition.scrape(openmetrics=openmetrics, gzip=False).decode("utf-8")
        read = {}
        for family in parse(body):
            read |= {(s.labels["a"], s.labels["b"]): s.value for s in family.samples}
        assert set(read) == set(expected)
        if len(expected) == len(series):
            assert read == expected


def clean(text: str) -> str:
    """What a lone surrogate becomes; two halves that stand side by side are a whole."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_values_that_differ_only_in_what_is_not_text_are_one_series(exposition: Exposition) -> None:
    exposition.replace("t_gauge", [({"a": "x\udc80", "b": ""}, 1), ({"a": "x\udc81", "b": ""}, 2)])
    assert list(values(exposition, "t_gauge")) == [("x\ufffd", "")]
    assert text(exposition).count("t_gauge{") == 1


def test_wrong_labels_are_a_mistake_of_the_program(exposition: Exposition) -> None:
    with pytest.raises(ValueError, match="t_gauge has the labels a, b, not a"):
        exposition.set("t_gauge", 1, {"a": "x"})
    with pytest.raises(ValueError, match=r"t_plain has the labels \(none\), not a"):
        exposition.set("t_plain", 1, {"a": "x"})


# Changes


def test_a_new_set_of_series_takes_the_old_one_away(exposition: Exposition) -> None:
    exposition.replace("t_gauge", [({"a": "1", "b": "x"}, 1), ({"a": "2", "b": "x"}, 2)])
    exposition.replace("t_gauge", [({"a": "2", "b": "x"}, 3)])
    assert values(exposition, "t_gauge") == {("2", "x"): 3}
    exposition.replace("t_gauge", [])
    assert "t_gauge" not in text(exposition)


def test_within_a_scope_the_others_stay(exposition: Exposition) -> None:
    exposition.replace("t_gauge", [({"a": a, "b": b}, 1) for a in "12" for b in "xy"])
    exposition.replace("t_gauge", [({"a": "1", "b": "z"}, 5)], scope={"a": "1"})
    assert values(exposition, "t_gauge") == {("2", "x"): 1, ("2", "y"): 1, ("1", "z"): 5}


def test_a_family_without_the_label_of_the_scope_keeps_its_series(exposition: Exposition) -> None:
    exposition.replace("t_things_total", [({"a": "1"}, 1)])
    exposition.replace("t_things_total", [({"a": "2"}, 2)], scope={"nobodys": "x"})
    assert values(exposition, "t_things_total") == {("1",): 1, ("2",): 2}


def test_a_full_family_drops_what_is_new_and_counts_it() -> None:
    exposition = Exposition((GAUGE,), max_series_per_family=100)
    series = [({"a": f"container-{n}", "b": ""}, float(n)) for n in range(10_000)]
    assert exposition.replace("t_gauge", series) == 9_900
    assert len(values(exposition, "t_gauge")) == 100
    assert exposition.replace("t_gauge", series[:100]) == 0
    exposition.set("t_gauge", 1, {"a": "one more", "b": ""})
    assert len(values(exposition, "t_gauge")) == 100
    exposition.set("t_gauge", 7, {"a": "container-5", "b": ""})
    assert values(exposition, "t_gauge")[("container-5", "")] == 7


def test_what_does_not_change_is_not_rendered_anew(exposition: Exposition) -> None:
    fill(exposition)
    before = exposition.text
    fill(exposition)
    exposition.replace("t_gauge", [({"a": "ü", "b": "\U0001f600"}, 1e300)])
    assert exposition.text is before


def test_grouped_changes_show_together(exposition: Exposition) -> None:
    with exposition.changes():
        exposition.set("t_plain", 1)
        with exposition.changes():
            exposition.set("t_plain", 2)
        assert text(exposition) == ""
    assert values(exposition, "t_plain") == {(): 2}


def test_a_scrape_never_sees_half_a_change(exposition: Exposition) -> None:
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            with exposition.changes():
                exposition.set("t_plain", n)
                exposition.set("t_things_total", n, {"a": "x"})

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(500):
            body = gzip.decompress(exposition.scrape(openmetrics=True, gzip=True)).decode()
            seen = {line.rpartition(" ")[2] for line in body.splitlines() if not line.startswith("#")}
            assert len(seen) <= 1
    finally:
        stop.set()
        thread.join()


# What a scraper asks for


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/plain;version=0.0.4", False),
        (b"application/openmetrics-text;version=1.0.0", True),
        (b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
        (b"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.3", False),
        (b"application/openmetrics-text;version=1.0.0;q=0.4, Text/Plain;version=0.0.4;q=0.5", False),
        (b"application/openmetrics-text;version=1.0.0;q=0, */*", False),
        (b"application/openmetrics-text;version=0.0.1;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8", True),
        (b"\xff\xfe,;=;q=x", False),
    ],
)
def test_openmetrics_is_for_those_who_ask(accept: bytes, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [(b"", False), (b"gzip", True), (b"deflate, GZIP;q=0.5", True), (b"gzip;q=0", False), (b"gzip;q=0.000", False),
     (b"identity", False), (b"xgzip", False), (b"gzip ; q=1", True), (b"\xff", False)],
)  # fmt: skip
def test_gzip_is_for_those_who_accept_it(encoding: bytes, packed: bool) -> None:
    assert wants_gzip(encoding) is packed
