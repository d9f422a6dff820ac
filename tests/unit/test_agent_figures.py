"""What an agent says of itself at /metrics, in both formats, and what of it is not believed."""

from __future__ import annotations

import json

import pytest

from jobs.performance import series
from jobs.performance.sampling.agent_figures import NoFigures, Own, parse_own
from jobs.performance.sampling.agents import own_counters, own_figures
from jobs.performance.sampling.part import Reading

TEXT = b"""# HELP http_requests_total Total number of requests.
# TYPE http_requests_total counter
http_requests_total{handler="/ask",method="POST",status="2xx"} 90.0
http_requests_total{handler="/ask",method="POST",status="5xx"} 10.0
# TYPE http_request_duration_highr_seconds histogram
http_request_duration_highr_seconds_bucket{le="0.1"} 80
http_request_duration_highr_seconds_sum 25.5
http_request_duration_highr_seconds_count 100.0
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_sum{handler="/ask"} 25.5
http_request_duration_seconds_count{handler="/ask"} 100.0
process_cpu_seconds_total 5
"""


def test_json_of_the_usual_shape() -> None:
    body = json.dumps({"total_requests": 100, "avg_response_time": 0.25, "error_rate": 0.02}).encode()
    assert parse_own(body) == Own(requests=100, response_seconds=0.25, error_ratio=0.02)


def test_units_are_kept_apart() -> None:
    assert parse_own(b'{"avg_response_time_ms": 250}') == Own(response_seconds=0.25)
    assert parse_own(b'{"error_rate": 2.5}') == Own(error_ratio=0.025)
    assert parse_own(b'{"error_rate": 1}') == Own(error_ratio=1)


def test_prometheus_text_counts_each_request_once() -> None:
    assert parse_own(TEXT) == Own(requests=100, errors=10, seconds=25.5, timed_requests=100)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ('http_server_request_duration_seconds_sum{http_response_status_code="200"} 5\n'
         'http_server_request_duration_seconds_count{http_response_status_code="200"} 9\n'
         'http_server_request_duration_seconds_sum{http_response_status_code="503"} 1\n'
         'http_server_request_duration_seconds_count{http_response_status_code="503"} 1\n', Own(10, 1, 6, 10)),
        ("agent_requests_total 7\nagent_errors_total 2 1700000000000\n", Own(7, 2)),
        ('http_requests_total{path="/a b} 5",code="500"} 3 # {trace_id="x"} 1\n', Own(3, 3)),
        ('requests_total{code="404"} 4\r\n', Own(4, 0)),
    ],
    ids=["OpenTelemetry", "plain counters", "exemplar and braces", "carriage returns"],
)  # fmt: skip
def test_other_usual_names(text: str, own: Own) -> None:
    assert parse_own(text.encode()) == own


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "markup": b"<html>http_requests_total 5</html>",
    "binary": b"\x00\xff\xfe",
    "other metrics": b"process_cpu_seconds_total 5\n",
    "NaN": b"http_requests_total NaN\n",
    "infinite": b"http_requests_total +Inf\n",
    "negative": b"http_requests_total -5\n",
    "too big": b"http_requests_total 1e300\n",
    "no number": b"http_requests_total abc\n",
    "a line without end": b'http_requests_total{a="' + b"x" * 100_000 + b'"} 5\n',
    "many braces": b"http_requests_total" + b"{" * 4000 + b" 5\n",
    "cut JSON": b'{"total_requests": 5',
    "deep JSON": b"[" * 100_000,
    "a list": b"[1, 2]",
    "text for numbers": b'{"total_requests": "512MiB", "error_rate": "low", "avg_response_time": null}',
    "JSON with NaN": b'{"total_requests": NaN, "error_rate": -1, "avg_response_time": Infinity}',
    "true": b'{"total_requests": true}',
    "a rate beyond all": b'{"error_rate": 5000}',
    "a huge number": b'{"total_requests": ' + b"9" * 400 + b"}",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_no_figure(body: bytes) -> None:
    with pytest.raises(NoFigures):
        parse_own(body)


def test_a_megabyte_of_series_is_read_in_time() -> None:
    lines = b"".join(b'http_requests_total{path="/%d",status="200"} 1\n' % number for number in range(20_000))
    assert parse_own(lines + b'x{a="b"} 1\n' * 20_000).requests == 20_000


def test_rates_and_means_are_since_the_last_sample() -> None:
    def reading(at: float, own: Own) -> Reading:
        return Reading(at, own_counters({"a": own}))

    before, own = reading(0, Own(100, 10, 20.0, 100)), Own(150, 15, 45.0, 150)
    found = {figure.kind: figure.value for figure in own_figures("a", own, before, reading(10, own))}
    assert found == {series.AGENT_REQUESTS: 5, series.AGENT_OWN_RESPONSE: 0.5, series.AGENT_OWN_ERRORS: 0.1}


def test_an_agent_that_was_restarted_has_no_rates_this_time() -> None:
    own = Own(5, 0, 1.0, 5)
    before, now = Reading(0, own_counters({"a": Own(100, 10, 20.0, 100)})), Reading(10, own_counters({"a": own}))
    assert own_figures("a", own, before, now) == []


def test_an_idle_agent_has_no_mean_and_no_errors_to_tell() -> None:
    own = Own(100, 10, 20.0, 100)
    found = own_figures("a", own, Reading(0, own_counters({"a": own})), Reading(10, own_counters({"a": own})))
    assert {figure.kind: figure.value for figure in found} == {series.AGENT_REQUESTS: 0}
