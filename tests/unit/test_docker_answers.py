"""What the engine says, parsed; and what is made of answers that no engine gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.containers import clean, parse_containers, parse_event, parse_inspection, parse_time, without_secrets

ID = "0123456789abcdef" * 4

# As engine 20.10 answers, shortened.
LISTED: dict[str, Any] = {
    "Id": ID, "Names": ["/other/alias", "/agent-1"], "Image": "agent:test", "State": "running",
    "Status": "Up 4 seconds (health: starting)", "Labels": {"sutazai.agent": "true"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 18010, "Type": "tcp"},
              {"PrivatePort": 443, "Type": "tcp"}],
    "HostConfig": {"NetworkMode": "default"},
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "none": {"IPAddress": ""}}},
}  # fmt: skip
INSPECTED: dict[str, Any] = {
    "Id": ID, "Name": "/agent-1",
    "State": {
        "Status": "exited", "OOMKilled": True, "ExitCode": 137, "Error": "", "Health": None,
        "StartedAt": "2026-11-23T16:50:42.881006869Z", "FinishedAt": "2026-11-23T16:50:42.920256649Z",
    },
    "Config": {"Env": ["PASSWORD=canary-1", "PATH=/bin"], "StopSignal": "SIGINT"},
    "HostConfig": {"RestartPolicy": {"Name": "always"}},
}  # fmt: skip


def test_a_listed_container() -> None:
    (found,) = parse_containers([LISTED])
    assert (found.name, found.health, found.addresses) == ("agent-1", "starting", ("172.17.0.2",))
    assert [(p.private, p.public) for p in found.ports] == [(80, 18010), (443, None)]


def test_an_inspected_container() -> None:
    found = parse_inspection(INSPECTED)
    assert (found.name, found.exit_code, found.oom_killed) == ("agent-1", 137, True)
    assert (found.restart_policy, found.stop_signal, found.health) == ("always", "SIGINT", "")
    assert found.finished_at == datetime(2026, 11, 23, 16, 50, 42, 920256, tzinfo=UTC)


def test_what_never_happened_has_no_time() -> None:
    assert parse_time("0001-01-01T00:00:00Z") is None


@pytest.mark.parametrize(
    ("code", "output", "cannot_run"),
    [
        (-1, 'OCI runtime exec failed: exec failed: unable to start container process: exec: "/bin/sh"', True),
        (126, "OCI runtime exec failed: exec failed: permission denied", True),
        (127, 'exec: "curl": executable file not found in $PATH', True),
        # The shell ran and did not find the command: the image has no such tool.
        (127, "/bin/sh: curl: not found", True),
        (1, "/bin/sh: 1: curl: not found", True),
        (1, "bash: line 1: wget: command not found", True),
        (-1, "Health check exceeded timeout (30s)", False),
        (1, "connection refused", False),
        (1, "No such file or directory", False),
        (1, "page not found", False),
        (0, "", False),
    ],
)
def test_a_health_check_that_cannot_run(code: int, output: str, cannot_run: bool) -> None:
    log = [{"ExitCode": 0, "Output": "ok"}, {"ExitCode": code, "Output": output}]
    health = {"Status": "unhealthy", "FailingStreak": 4, "Log": log}
    found = parse_inspection({**INSPECTED, "State": {**INSPECTED["State"], "Health": health}})
    assert bool(found.check_error) is cannot_run
    assert found.failing_streak == 4


def test_no_value_of_the_environment_is_kept() -> None:
    kept = without_secrets(INSPECTED)
    assert "canary-1" not in str(kept)
    assert kept["Config"]["Env"] == ["PASSWORD=(not kept)", "PATH=(not kept)"]
    assert without_secrets({"Config": {"Env": "PASSWORD=canary-1"}}) == {"Config": {"Env": "(not kept)"}}
    assert "canary-1" in str(INSPECTED), "the original is left alone"


def test_an_event() -> None:
    found = parse_event(
        {"Action": "health_status: unhealthy", "Actor": {"ID": ID, "Attributes": {"name": "a", "x": "y"}},
         "timeNano": 1795452642337132952}
    )  # fmt: skip
    assert (found.action, found.name, found.labels["x"]) == ("health_status: unhealthy", "a", "y")
    assert found.time.timestamp() == pytest.approx(1795452642.337, abs=0.001)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_garbage_is_refused_in_one_way(answer: object) -> None:
    for parse in (parse_containers, parse_inspection, parse_event):
        try:
            parse(answer)
        except ValueError:
            continue
        assert answer == [], "only an empty list is an answer"


@given(st.sampled_from(sorted(LISTED)), JSON)
def test_one_wrong_field_is_refused_or_harmless(key: str, value: object) -> None:
    try:
        found = parse_containers([{**LISTED, key: value}])
    except ValueError:
        return
    assert all(text.isprintable() for text in (found[0].name, found[0].state, found[0].status_text))


@pytest.mark.parametrize("bad", ["", "../../x", "0" * 11, "0" * 63 + "/", "0" * 200, "\uff10" * 64])
def test_an_id_that_could_bend_a_path_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        parse_containers([{**LISTED, "Id": bad}])


def test_clean_text_is_one_printable_line() -> None:
    assert clean("a\n\x00\ud800é\x1b[31m") == "a????" + "?[31m"
    assert len(clean("x" * 1000)) == 255
