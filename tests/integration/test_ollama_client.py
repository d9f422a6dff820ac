"""What the Ollama client says of a server that works, one that only seems to, and one that means harm.

The stand-in speaks Ollama's API without a model; see tests/services/ollama_stub.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.clients.errors import Absent, ClientError
from jobs.clients.http import HttpClient
from jobs.clients.ollama import Model, Ollama
from jobs.core.settings import OllamaSettings
from tests.services.ollama_stub import Mode, OllamaStub
from tests.services.ports import free_port
from tests.stand_ins import TcpServer, always, answer


def client(url: str, **settings: Any) -> Ollama:
    return Ollama(OllamaSettings(url=url, **settings), HttpClient())


def test_installed_models_have_names_and_sizes(ollama_stub: OllamaStub) -> None:
    assert client(ollama_stub.url).installed() == [
        Model("llama3:latest", 4_661_224_676, True),
        Model("tinyllama:latest", 637_700_138, True),
    ]


def test_no_models_is_an_empty_list(ollama_stub: OllamaStub) -> None:
    ollama_stub.models.clear()
    assert client(ollama_stub.url).installed() == []
    with TcpServer(always(answer(b'{"models": null}'))) as server:
        assert client(server.url).installed() == []


def test_the_canary_asks_for_one_token_and_takes_its_time(ollama_stub: OllamaStub) -> None:
    assert 0 < client(ollama_stub.url).generate_token("llama3:latest") < 30
    [asked] = ollama_stub.generated
    assert (asked["model"], asked["stream"], asked["options"]) == ("llama3:latest", False, {"num_predict": 1})


@pytest.mark.parametrize("mode", [Mode.DEAD, Mode.HANGING, Mode.GARBAGE, Mode.EMPTY])
def test_a_server_that_lists_but_does_not_generate_fails_the_canary(ollama_stub: OllamaStub, mode: Mode) -> None:
    ollama_stub.generation = mode
    ollama = client(ollama_stub.url, canary_timeout_seconds=0.5)
    assert ollama.installed()
    with pytest.raises(ClientError, match="/api/generate") as failure:
        ollama.generate_token("tinyllama:latest")
    assert not isinstance(failure.value, Absent)


def test_a_model_that_is_not_there_fails_the_canary_and_is_named(ollama_stub: OllamaStub) -> None:
    with pytest.raises(ClientError, match=r"404.*'missing:latest' not found"):
        client(ollama_stub.url).generate_token("missing")


def test_the_canary_prefers_the_configured_then_a_loaded_then_the_smallest(ollama_stub: OllamaStub) -> None:
    ollama = client(ollama_stub.url)
    installed = ollama.installed()
    assert ollama.canary_model(installed) == "tinyllama:latest"
    ollama_stub.loaded = {"llama3:latest"}
    assert ollama.canary_model(installed) == "llama3:latest"
    assert client(ollama_stub.url, canary_model="mine").canary_model(installed) == "mine"


def test_an_embedding_model_is_never_asked_to_generate() -> None:
    models = [
        {"name": "all-minilm:latest", "size": 45, "details": {"family": "bert"}},
        {"name": "llama3:latest", "size": 4661, "details": {"family": "llama"}},
    ]
    with TcpServer(always(answer(json.dumps({"models": models}).encode()))) as server:
        ollama = client(server.url)
        installed = ollama.installed()
        assert ollama.canary_model(installed) == "llama3:latest"
    with TcpServer(always(answer(b'{"models": []}'))) as server:
        assert client(server.url).canary_model(installed[:1]) == ""


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 20_000,
        b'{"models":' * 20_000,
        b"[1, 2]",
        b'"text"',
        b'{"models": 7}',
        b'{"models": ["text"]}',
        b"\xff\xfe",
        b"",
        b'{"models": [{"size": ' + b"9" * 5000 + b"}]}",
    ],
    ids=["deep list", "deep object", "list", "text", "number", "texts", "not UTF-8", "nothing", "huge number"],
)
def test_a_hostile_list_is_a_failure(body: bytes) -> None:
    with TcpServer(always(answer(body))) as server, pytest.raises(ClientError) as failure:
        client(server.url).installed()
    assert len(str(failure.value)) < 500


def test_a_list_without_end_is_a_failure() -> None:
    body = b'{"models": [' + b'{"name": "x"},' * 400_000
    with TcpServer(always(answer(body))) as server, pytest.raises(ClientError, match="too long"):
        client(server.url).installed()


def test_odd_types_in_a_model_are_left_out() -> None:
    body = b'{"models": [{"name": 7, "size": "big", "details": []}, {}, {"name": "a", "size": NaN}]}'
    with TcpServer(always(answer(body))) as server:
        models = client(server.url).installed()
    assert [(model.name, model.size_bytes) for model in models] == [("7", 0), ("", 0), ("a", 0)]


def test_a_refused_connection_is_a_failure_not_absence() -> None:
    with pytest.raises(ClientError, match="connection refused") as failure:
        client(f"http://127.0.0.1:{free_port()}").installed()
    assert not isinstance(failure.value, Absent)


def test_nobody_at_the_usual_address_is_absence() -> None:
    with pytest.raises(Absent, match=r"set ollama\.url"):
        Ollama(OllamaSettings(), HttpClient(), port=free_port()).installed()


def test_a_server_at_the_usual_address_is_found(ollama_stub: OllamaStub) -> None:
    assert len(Ollama(OllamaSettings(), HttpClient(), port=ollama_stub.port).installed()) == 2
