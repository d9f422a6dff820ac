"""How loaded models do: where they are, how fast they generate, and that a probe leaves everything as it was.

The stand-in speaks Ollama's API without a model; see tests/services/ollama_stub.py.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.clients.errors import ClientError
from jobs.clients.http import HttpClient
from jobs.clients.ollama import Ollama
from jobs.clients.ollama_probe import MAX_BODY_BYTES, TOKENS
from jobs.core.settings import OllamaSettings
from jobs.performance import series
from tests.services.ollama_stub import Mode, OllamaStub
from tests.services.performance_runs import PerformanceRuns
from tests.services.ports import free_port
from tests.services.sampling_runs import SamplingRuns, figure, figures, gap, kinds, metric
from tests.stand_ins import Handler, TcpServer, always, answer, endless, read_request, silent

LLAMA, TINY = "llama3:latest", "tinyllama:latest"
TOKEN = json.dumps({"model": "m", "response": "Hi", "done": False}).encode() + b"\n"


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own rates do not matter here."""
    monkeypatch.setattr("jobs.performance.sampling.part.WINDOW_SECONDS", 0.05)


@pytest.fixture
def runs(tmp_path: Path, ollama_stub: OllamaStub) -> SamplingRuns:
    """Samples with one model loaded: half on the GPU, and for five minutes yet."""
    made = SamplingRuns(tmp_path, ollama={"url": ollama_stub.url})
    ollama_stub.loaded, ollama_stub.gpu_ratio = {LLAMA}, {LLAMA: 0.5}
    ollama_stub.words = ["one"] * TOKENS
    stays(made, ollama_stub, 300)
    return made


def stays(runs: SamplingRuns, stub: OllamaStub, seconds: float) -> None:
    stub.expires_at = (runs.clock.now() + timedelta(seconds=seconds)).isoformat()


def client(url: str) -> Ollama:
    return Ollama(OllamaSettings(url=url), HttpClient())


def test_where_a_model_is(runs: SamplingRuns) -> None:
    sampled = runs.sample()
    assert figure(sampled, series.MODEL_GPU, LLAMA) == pytest.approx(0.5)
    assert figure(sampled, series.MODEL_BYTES, LLAMA) == 4_661_224_676
    assert metric(sampled, "sutazai_model_gpu_ratio", LLAMA) == pytest.approx(0.5)


def test_a_probe_takes_the_time_to_the_first_token_and_the_servers_own_speed(
    runs: SamplingRuns, ollama_stub: OllamaStub
) -> None:
    ollama_stub.first_token_seconds, ollama_stub.token_seconds, ollama_stub.told_token_seconds = 0.3, 0.01, 0.008
    sampled = runs.sample()
    first = figure(sampled, series.MODEL_FIRST_TOKEN, LLAMA)
    assert first is not None and 0.3 <= first < 10
    assert figure(sampled, series.MODEL_SPEED, LLAMA) == pytest.approx(125)
    assert metric(sampled, "sutazai_model_probe_success", LLAMA) == 1
    [asked] = ollama_stub.generated
    assert asked["options"] == {"num_predict": TOKENS, "temperature": 0, "seed": 1}


@pytest.mark.parametrize("told_seconds", [0.0, 1e-9, 60.0])
def test_a_speed_that_cannot_be_true_is_measured_by_the_clock(
    runs: SamplingRuns, ollama_stub: OllamaStub, told_seconds: float
) -> None:
    ollama_stub.token_seconds, ollama_stub.told_token_seconds = 0.02, told_seconds
    speed = figure(runs.sample(), series.MODEL_SPEED, LLAMA)
    assert speed is not None
    assert speed <= 50 or told_seconds == 1e-9


def test_a_model_that_stops_at_once_has_no_speed(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.words = ["No."]
    sampled = runs.sample()
    assert figure(sampled, series.MODEL_FIRST_TOKEN, LLAMA) is not None
    assert figures(sampled, series.MODEL_SPEED) == {}


def test_a_probe_does_not_prolong_a_models_stay(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    stays(runs, ollama_stub, 123.9)
    runs.sample()
    assert [asked["keep_alive"] for asked in ollama_stub.generated] == [123]


def test_a_model_that_was_loaded_for_good_stays_for_good(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.expires_at = "2318-06-12T11:00:00.123456789Z"
    runs.sample()
    assert [asked["keep_alive"] for asked in ollama_stub.generated] == [-1]


@pytest.mark.parametrize("expires_at", ["", "soon", "2026-03-02T12:00:05Z", "2020-01-01T00:00:00Z"])
def test_a_model_that_is_about_to_go_is_left_alone(
    runs: SamplingRuns, ollama_stub: OllamaStub, expires_at: str
) -> None:
    ollama_stub.expires_at = expires_at
    sampled = runs.sample()
    assert ollama_stub.generated == []
    assert figure(sampled, series.MODEL_GPU, LLAMA) is not None
    assert gap(sampled, "ollama") is None


def test_no_model_is_loaded_for_a_probe(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.loaded = set()
    sampled = runs.sample()
    assert ollama_stub.generated == []
    assert figures(sampled, series.MODEL_GPU) == {}
    assert sampled.sections["ollama_metrics"] == {"loaded": 0, "models": {}}


@pytest.mark.parametrize(("name", "family"), [("all-minilm:l6", "bert"), ("qwen3-embedding:8b", "qwen3")])
def test_an_embedding_model_is_not_asked_to_generate(
    runs: SamplingRuns, ollama_stub: OllamaStub, name: str, family: str
) -> None:
    ollama_stub.models[name] = 45_000_000
    ollama_stub.family, ollama_stub.loaded = {name: family}, {name}
    assert figures(runs.sample(), series.MODEL_BYTES) == {(name,): 45_000_000}
    assert ollama_stub.generated == []


def test_a_model_is_probed_once_in_a_while_and_its_last_figures_stay_on_the_metrics(
    runs: SamplingRuns, ollama_stub: OllamaStub
) -> None:
    first = runs.sample()
    runs.clock.advance(300)
    stays(runs, ollama_stub, 300)
    second = runs.sample()
    assert len(ollama_stub.generated) == 1
    assert figures(second, series.MODEL_SPEED) == {}
    speed = metric(second, "sutazai_model_tokens_per_second", LLAMA)
    assert speed == metric(first, "sutazai_model_tokens_per_second", LLAMA) is not None
    runs.clock.advance(600)
    stays(runs, ollama_stub, 300)
    runs.sample()
    assert len(ollama_stub.generated) == 2


def test_yesterdays_figures_are_not_those_of_a_model_that_is_loaded_anew(
    runs: SamplingRuns, ollama_stub: OllamaStub
) -> None:
    runs.sample()
    runs.clock.advance(86400)
    stays(runs, ollama_stub, 5)
    sampled = runs.sample()
    assert metric(sampled, "sutazai_model_tokens_per_second", LLAMA) is None
    assert metric(sampled, "sutazai_model_probe_success", LLAMA) is None
    assert metric(sampled, "sutazai_model_gpu_ratio", LLAMA) is not None


def test_a_dry_run_and_an_interval_of_0_probe_nothing_and_the_first_writes_nothing(
    runs: SamplingRuns, ollama_stub: OllamaStub
) -> None:
    runs.sample(dry_run=True)
    assert not runs.counters_file.exists()
    runs.sample(model_probe_interval_seconds=0)
    assert ollama_stub.generated == []


def test_a_fall_to_the_cpu_is_found_by_the_models_own_past(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    runs.past.was(series.MODEL_GPU, 1.0, LLAMA)
    ollama_stub.gpu_ratio = {LLAMA: 0.0}
    sampled = runs.sample()
    assert kinds(sampled) == {("model_on_cpu", f"model/{LLAMA}")}
    assert sampled.findings[0].message == f"{LLAMA} fell from the GPU: 0% of it is there, usually 100%"
    assert metric(sampled, "sutazai_model_gpu_usual_ratio", LLAMA) == 1


@pytest.mark.parametrize(("usual", "now"), [(0.0, 0.0), (1.0, 1.0), (1.0, 0.6), (0.52, 0.48), (0.05, 0.0)])
def test_a_model_that_never_was_on_a_gpu_or_still_is_has_not_fallen(
    runs: SamplingRuns, ollama_stub: OllamaStub, usual: float, now: float
) -> None:
    runs.past.was(series.MODEL_GPU, usual, LLAMA)
    ollama_stub.gpu_ratio = {LLAMA: now}
    assert kinds(runs.sample()) == set()


def test_a_model_is_slow_against_its_own_usual(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.first_token_seconds, ollama_stub.token_seconds, ollama_stub.told_token_seconds = 0.05, 0.01, 0.01
    runs.past.was(series.MODEL_SPEED, 200.0, LLAMA)
    runs.past.was(series.MODEL_FIRST_TOKEN, 0.001, LLAMA)
    sampled = runs.sample()
    assert kinds(sampled) == {
        ("model_slow", f"model/{LLAMA}"),
        ("model_first_token_slow", f"model/{LLAMA}"),
    }
    assert metric(sampled, "sutazai_model_speed_baseline_ratio", LLAMA) == pytest.approx(0.5)
    assert (metric(sampled, "sutazai_model_first_token_baseline_ratio", LLAMA) or 0) > 2


def test_a_model_as_usual_and_one_that_is_hardly_known_are_no_findings(
    runs: SamplingRuns, ollama_stub: OllamaStub
) -> None:
    ollama_stub.token_seconds = ollama_stub.told_token_seconds = 0.01
    runs.past.was(series.MODEL_SPEED, 110.0, LLAMA)
    assert kinds(runs.sample()) == set()
    runs.past.was(series.MODEL_SPEED, 1000.0, LLAMA, count=9)
    runs.clock.advance(1000)
    stays(runs, ollama_stub, 300)
    assert kinds(runs.sample()) == set()


def test_another_models_past_is_not_taken_for_its_own(runs: SamplingRuns) -> None:
    runs.past.was(series.MODEL_GPU, 1.0, f"{LLAMA}-instruct")
    assert kinds(runs.sample()) == set()


def test_what_is_usual_comes_from_the_store(tmp_path: Path, runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.gpu_ratio, ollama_stub.token_seconds, ollama_stub.told_token_seconds = {LLAMA: 0.0}, 0.02, 0.02
    past = PerformanceRuns(tmp_path)
    names = {series.MODEL_GPU.series(LLAMA): 1.0, series.MODEL_SPEED.series(LLAMA): 200.0}
    past.record_days(2, runs.clock.now(), names)
    runs.history = past.store
    sampled = runs.sample()
    assert kinds(sampled) == {("model_on_cpu", f"model/{LLAMA}"), ("model_slow", f"model/{LLAMA}")}
    assert metric(sampled, "sutazai_model_gpu_usual_ratio", LLAMA) == pytest.approx(1, rel=0.02)
    assert metric(sampled, "sutazai_model_speed_baseline_ratio", LLAMA) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("mode", [Mode.DEAD, Mode.HANGING, Mode.GARBAGE, Mode.EMPTY])
def test_a_loaded_model_that_does_not_generate_is_said_and_asked_again_only_later(
    runs: SamplingRuns, ollama_stub: OllamaStub, mode: Mode
) -> None:
    ollama_stub.generation = mode
    sampled = runs.sample(model_probe_timeout_seconds=0.5)
    assert kinds(sampled) == {("model_silent", f"model/{LLAMA}")}
    told = gap(sampled, f"model/{LLAMA}")
    assert told is not None and not told.absent
    assert metric(sampled, "sutazai_model_probe_success", LLAMA) == 0
    assert figure(sampled, series.MODEL_GPU, LLAMA) is not None
    runs.clock.advance(60)
    again = runs.sample()
    assert gap(again, f"model/{LLAMA}") == told
    assert kinds(again) == kinds(sampled)
    assert metric(again, "sutazai_model_probe_success", LLAMA) == 0
    assert len(ollama_stub.generated) == 1


def chunks(pieces: list[bytes]) -> Handler:
    def serve(connection: socket.socket, closing: threading.Event) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for piece in pieces:
            connection.sendall(piece)
            closing.wait(0.01)

    return serve


def dripping(connection: socket.socket, closing: threading.Event) -> None:
    """A byte at a time, for ever: each starts a socket's time-out anew."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not closing.wait(0.02):
        connection.sendall(b" ")


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
DONE = b'{"done": true, "response": "", "eval_count": 16, "eval_duration": 1000000}\n'
HOSTILE: dict[str, tuple[Handler, str]] = {
    "endless without a line's end": (endless(HEAD, b"x" * 65536), "too long"),
    "endless tokens": (endless(HEAD, TOKEN * 500), "too long"),
    "dripping": (dripping, "no full answer within 1 s"),
    "silent": (silent, "no full answer within 1 s"),
    "garbage": (always(answer(b"\x00\xff\n{]\n")), "not JSON, line by line"),
    "not an object": (always(answer(b"[1]\n5\n")), "not JSON, line by line"),
    "deep JSON": (always(answer(b"[" * 100_000 + b"\n")), "not JSON, line by line"),
    "ends in the middle": (chunks([TOKEN, TOKEN]), "ended before it was done"),
    "done without a token": (always(answer(DONE)), "done without a token"),
    "an error in mid-stream": (chunks([TOKEN, b'{"error": "out of\\nmemory\\u001b[31m"}\n']), "out of memory"),
    "a token that is no text": (always(answer(b'{"response": 5}\n' + DONE)), "done without a token"),
    "nothing": (always(answer(b"")), "ended before it was done"),
    "not allowed": (always(answer(b'{"error": "does not support generate"}', "400 Bad Request")), "status 400"),
}


@pytest.mark.parametrize(("handle", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_ends_in_time_and_is_one_line(handle: Handler, reason: str) -> None:
    with TcpServer(handle) as server, pytest.raises(ClientError, match=reason) as failure:
        client(server.url).probe("m", 60, 1)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 500


FIGURES: dict[str, bytes] = {
    "no figures": b"",
    "text": b', "eval_count": "16", "eval_duration": "1"',
    "negative": b', "eval_count": -16, "eval_duration": -1',
    "infinite": b', "eval_count": 1e999, "eval_duration": NaN',
    "true": b', "eval_count": true, "eval_duration": true',
    "none at all": b', "eval_count": 0, "eval_duration": 0',
    "more than was asked for": b', "eval_count": 100000, "eval_duration": 1000',
    "huge": b', "eval_count": ' + b"9" * 400 + b', "eval_duration": 1',
}


@pytest.mark.parametrize("told", FIGURES.values(), ids=FIGURES)
def test_figures_that_cannot_be_true_are_not_believed(told: bytes) -> None:
    pieces = [TOKEN] * 8 + [b'{"done": true, "response": ""' + told + b"}\n"]
    with TcpServer(chunks(pieces)) as server:
        made = client(server.url).probe("m", 60, 20)
    assert made.tokens == 8
    assert made.tokens_per_second is not None and 0 < made.tokens_per_second < 120
    assert made.first_token_seconds > 0


def test_lines_in_pieces_and_several_in_one_are_the_same_tokens() -> None:
    whole = TOKEN * 5 + b'{"done": true, "response": ""}\n'
    with TcpServer(chunks([whole[start : start + 7] for start in range(0, len(whole), 7)])) as server:
        assert client(server.url).probe("m", 60, 20).tokens == 5
    with TcpServer(chunks([whole])) as server:
        made = client(server.url).probe("m", 60, 20)
    assert (made.tokens, made.tokens_per_second) == (5, None)


def test_a_model_that_thinks_first_is_at_work() -> None:
    thought = b'{"response": "", "thinking": "Hm"}\n'
    with TcpServer(chunks([thought] * 4 + [b'{"done": true, "response": ""}\n'])) as server:
        assert client(server.url).probe("m", 60, 20).tokens == 4


def test_the_body_of_an_endless_answer_is_bounded() -> None:
    assert MAX_BODY_BYTES <= 4 << 20


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "x" * 5000, '"}{', "", "\ud800"])
def test_hostile_names_of_models_are_cleaned_and_bounded(
    runs: SamplingRuns, ollama_stub: OllamaStub, name: str
) -> None:
    ollama_stub.models[name], ollama_stub.loaded = 5, {name}
    sampled = runs.sample(model_probe_interval_seconds=0)
    for (label,) in figures(sampled, series.MODEL_BYTES):
        assert label.isprintable()
        assert 0 < len(label) <= 128


def test_many_models_are_bounded(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.models = {f"m{number}": number + 1 for number in range(200)}
    ollama_stub.loaded = set(ollama_stub.models)
    assert len(figures(runs.sample(model_probe_interval_seconds=0), series.MODEL_BYTES)) == 50


def test_nobody_configured_ollama_and_none_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ollama_stub: OllamaStub
) -> None:
    monkeypatch.setattr("jobs.clients.ollama.listens", lambda *_: False)
    runs = SamplingRuns(tmp_path)
    told = gap(runs.sample(), "ollama")
    assert told is not None and told.absent
    # What answered yesterday is not absent but gone.
    document = json.loads(runs.counters_file.read_text())
    document["seen"]["ollama"] = runs.clock.now().timestamp() - 86400
    runs.counters_file.write_text(json.dumps(document))
    told = gap(runs.sample(), "ollama")
    assert told is not None and not told.absent


def test_a_server_that_is_configured_and_down_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.clients.ollama.LIST_SECONDS", 60.0)  # a busy machine may take its time to refuse
    told = gap(SamplingRuns(tmp_path, ollama={"url": f"http://127.0.0.1:{free_port()}"}).sample(), "ollama")
    assert told is not None and not told.absent
    assert "connection refused" in told.reason


def test_probes_end_with_the_sample(runs: SamplingRuns, ollama_stub: OllamaStub) -> None:
    ollama_stub.generation, ollama_stub.loaded = Mode.HANGING, {LLAMA, TINY}
    began = time.monotonic()
    sampled = runs.sample(sample_deadline_seconds=3, model_probe_timeout_seconds=30)
    assert time.monotonic() - began < 20
    assert gap(sampled, f"model/{LLAMA}") is not None
