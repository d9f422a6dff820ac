"""Reading alerts: what Alertmanager sends is understood, and whatever else comes is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bridge.incoming.intake import MAX_ANNOTATIONS, MAX_LABELS, BadAlerts, parse
from exporter.bridge.model import Alert, AlertStatus
from jobs.core.model import MAX_LABEL, MAX_TEXT

# As Alertmanager 0.25 sent it, with another address.
SENT: Mapping[str, Any] = {
    "receiver": "bridge",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"agent": "coder", "alertname": "AgentDown", "severity": "critical"},
            "annotations": {"summary": "coder is down", "runbook_url": "https://example.org/AgentDown"},
            "startsAt": "2026-03-02T13:00:00.123456789+01:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://169.254.169.254/graph?g0.expr=up",
            "fingerprint": "b1f6b0b1b4e0f6c3",
        }
    ],
    "groupLabels": {"alertname": "AgentDown"},
    "commonLabels": {"alertname": "AgentDown"},
    "commonAnnotations": {},
    "externalURL": "http://localhost:9093",
    "version": "4",
    "groupKey": '{}:{alertname="AgentDown"}',
    "truncatedAlerts": 0,
}


def body(*, leave_out: str = "", **changed: Any) -> bytes:
    """The body with one alert of which these keys are changed."""
    alert = {**SENT["alerts"][0], **changed}
    alert.pop(leave_out, None)
    return json.dumps({**SENT, "alerts": [alert]}).encode()


def test_what_alertmanager_sends_is_understood() -> None:
    assert parse(json.dumps(SENT).encode()) == (
        Alert(
            fingerprint="b1f6b0b1b4e0f6c3",
            status=AlertStatus.FIRING,
            starts_at=datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC),
            labels={"agent": "coder", "alertname": "AgentDown", "severity": "critical"},
            annotations={"summary": "coder is down", "runbook_url": "https://example.org/AgentDown"},
        ),
    )


def test_no_address_of_the_alert_is_kept() -> None:
    (alert,) = parse(body(silenceURL="http://169.254.169.254/"))
    assert "169.254" not in alert.model_dump_json()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T12:00:00Z", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("2026-03-02T12:00:00.1Z", datetime(2026, 3, 2, 12, 0, 0, 100_000, tzinfo=UTC)),
        ("2026-03-02T12:00:00.999999999Z", datetime(2026, 3, 2, 12, 0, 0, 999_999, tzinfo=UTC)),
        ("2026-03-02T12:00:00.000000001-05:30", datetime(2026, 3, 2, 17, 30, tzinfo=UTC)),
        ("9998-12-31T23:59:59-23:59", datetime(9999, 1, 1, 23, 58, 59, tzinfo=UTC)),
    ],
)
def test_times_are_utc_to_the_microsecond(text: str, time: datetime) -> None:
    (alert,) = parse(body(startsAt=text, endsAt=text))
    assert (alert.starts_at, alert.ends_at) == (time, time)
    assert alert.starts_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("key", ["startsAt", "endsAt"])
@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-03-02", "2026-03-02T12:00:00", "2026-03-02 12:00:00Z", "2026-03-02T12:00Z", "20260302T120000Z",
        "2026-02-30T12:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T12:00:60Z", "2026-03-02T12:00:00.1234567891Z",
        "2026-03-02T12:00:00+24:00", "٢٠٢٦-03-02T12:00:00Z", "2026-03-02T12:00:00Z\n", "2026-W10-1T12:00:00Z",
        "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:01Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z",
        0, 1.5, True, None, [], {"a": 1},
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(key: str, text: Any) -> None:
    with pytest.raises(BadAlerts, match=rf"^alerts\[0\]\.{key}: .*$"):
        parse(body(**{key: text}))


def test_an_alert_must_have_begun() -> None:
    with pytest.raises(BadAlerts, match=r"alerts\[0\]\.startsAt: must be set"):
        parse(body(startsAt="0001-01-01T00:00:00Z"))


@pytest.mark.parametrize("key", ["status", "labels", "startsAt", "fingerprint"])
def test_an_alert_without_what_names_it_is_refused(key: str) -> None:
    with pytest.raises(BadAlerts, match=rf"alerts\[0\]\.{key}: "):
        parse(body(leave_out=key))


@pytest.mark.parametrize("key", ["annotations", "endsAt", "generatorURL"])
def test_an_alert_may_lack_the_rest(key: str) -> None:
    assert len(parse(body(leave_out=key))) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "suppressed"), ("status", ["firing"]), ("status", 1), ("status", {}), ("status", "Firing"),
        ("fingerprint", ""), ("fingerprint", "xyz"), ("fingerprint", "AB"), ("fingerprint", "a" * 65),
        ("fingerprint", 1), ("fingerprint", "ab\n"), ("fingerprint", "../a"),
        ("labels", []), ("labels", "a"), ("labels", {"a": 1}), ("labels", {"a": None}), ("labels", {"a": ["b"]}),
        ("labels", {f"a{n}": "" for n in range(MAX_LABELS + 1)}),
        ("annotations", {"a": {}}), ("annotations", None),
        ("annotations", {f"a{n}": "" for n in range(MAX_ANNOTATIONS + 1)}),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_named(key: str, value: Any) -> None:
    with pytest.raises(BadAlerts, match=rf"^alerts\[0\]\.{key}: .+$"):
        parse(body(**{key: value}))


@pytest.mark.parametrize("version", ["3", "5", 4, 4.0, None, "", ["4"], "4 "])
def test_another_version_is_refused(version: Any) -> None:
    with pytest.raises(BadAlerts, match="version: only '4' is understood"):
        parse(json.dumps({**SENT, "version": version}).encode())


@pytest.mark.parametrize("alerts", [None, {}, "x", 1, [1], [None], [[]], ["x"]])
def test_what_is_no_list_of_alerts_is_refused(alerts: Any) -> None:
    with pytest.raises(BadAlerts, match=r"^alerts"):
        parse(json.dumps({**SENT, "alerts": alerts}).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b"\xef\xbb\xbf{}", '{"version": "4"}'.encode("utf-16"),
        b"[" * 20_000, b'{"alerts":' * 20_000, b'{"version": "4", "alerts": [], "x": ' + b"[" * 20_000,
        b'{"version": "4", "alerts": [], "x": NaN}', b'{"version": "4", "alerts": [], "x": -Infinity}',
        b'{"version": "4", "alerts": [], "x": ' + b"9" * 5000 + b"}", b'{"version": "4", "alerts": []} x',
        b'{"version": "4", "version": "4", "alerts": []}', b'{"version": "4", "alerts": [], "x": {"a": 1, "a": 2}}',
        b'{"version": "4", "alerts": [], "\\u0061": 1, "a": 2}', b"{'version': '4'}",
        b'{"version": "4", "alerts": [\x00]}',
    ],
)  # fmt: skip
def test_what_is_not_plain_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadAlerts, match=r"^.+$"):
        parse(text)


def test_one_bad_alert_spoils_the_body() -> None:
    alerts = [SENT["alerts"][0], {**SENT["alerts"][0], "status": "odd"}]
    with pytest.raises(BadAlerts, match=r"^alerts\[1\]\.status: "):
        parse(json.dumps({**SENT, "alerts": alerts}).encode())


def test_keys_of_newer_versions_are_passed_over() -> None:
    more = {"notificationReason": ["first"], "huge": 10**300, "deep": [[[[{}]]]]}
    assert len(parse(json.dumps({**SENT, **more, "alerts": [{**SENT["alerts"][0], **more}]}).encode())) == 1


def test_a_body_without_alerts_has_none() -> None:
    assert parse(json.dumps({**SENT, "alerts": []}).encode()) == ()


def test_names_that_nothing_can_refer_to_are_left_out() -> None:
    (alert,) = parse(
        body(labels={"alertname": "A", "k8s.pod": "x", "": "y", "a\n": "z", "1a": "", "<b>": "", "n" * 129: ""})
    )
    assert alert.labels == {"alertname": "A"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("\ud800a", "\ufffda"), ("a\x00b\x1b[31m\x7f\x85", "a\ufffdb\ufffd[31m\ufffd\ufffd"),
        ("two\nlines", "two\nlines"),
        ("ünïcödé 🦀", "ünïcödé 🦀"), ("<script>", "<script>"), ("", ""),
    ],
)  # fmt: skip
def test_texts_are_cleaned(sent: str, kept: str) -> None:
    (alert,) = parse(body(labels={"a": sent}, annotations={"a": sent}))
    assert (alert.labels["a"], alert.annotations["a"]) == (kept, kept)


def test_long_texts_are_cut() -> None:
    (alert,) = parse(body(labels={"a": "x" * 500_000}, annotations={"a": "y" * 500_000}))
    assert (len(alert.labels["a"]), len(alert.annotations["a"])) == (MAX_LABEL, MAX_TEXT)


# Anything at all

_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
_texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)
_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_times = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 (the zone is drawn)
    datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=_zones,
)
_alerts = st.builds(
    Alert,
    fingerprint=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    status=st.sampled_from(AlertStatus),
    starts_at=_times,
    ends_at=st.none() | _times,
    labels=st.dictionaries(_names, _texts, max_size=5),
    annotations=st.dictionaries(_names, _texts, max_size=5),
)


def as_sent(alert: Alert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "fingerprint": alert.fingerprint,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": alert.starts_at.isoformat(),
        "endsAt": alert.ends_at.isoformat() if alert.ends_at else "0001-01-01T00:00:00Z",
    }


@given(st.lists(_alerts, max_size=3), st.booleans())
@settings(max_examples=50)
def test_alerts_come_out_as_they_were_sent(alerts: list[Alert], ascii_only: bool) -> None:
    sent = json.dumps({**SENT, "alerts": [as_sent(a) for a in alerts]}, ensure_ascii=ascii_only).encode()
    assert list(parse(sent)) == alerts


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
_almost = st.fixed_dictionaries(
    {
        "version": st.just("4") | _json,
        "alerts": _json
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "status": st.just("firing") | _json,
                    "labels": st.dictionaries(st.text(), st.text() | _json) | _json,
                    "annotations": _json,
                    "startsAt": st.just("2026-03-02T12:00:00Z") | st.from_regex(r"\d{4}-\d\d-\d\dT.{0,20}Z") | _json,
                    "endsAt": _json,
                    "fingerprint": st.just("ab") | _json,
                },
            ),
            max_size=3,
        ),
    }
)


@given(_json | _almost)
def test_no_json_raises_anything_else(document: Any) -> None:
    parsed_or_refused(json.dumps(document).encode())


@given(st.binary(max_size=200) | st.text(alphabet='[]{}":,\\u0d8-1eNa ', max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(text: bytes) -> None:
    parsed_or_refused(text)


def parsed_or_refused(text: bytes) -> None:
    try:
        for alert in parse(text):
            alert.model_dump_json()
            alert.starts_at.timestamp()
    except BadAlerts as error:
        assert str(error).isprintable()
