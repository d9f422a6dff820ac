"""Stands for an Ollama server, which cannot be had here: it needs a model of hundreds of megabytes.

Its answers have the fields of https://github.com/ollama/ollama/blob/main/docs/api.md (/api/tags, /api/ps,
/api/generate streamed and not, /api/version). What it cannot show: how long a real model takes to load, and
the answers of other versions.
"""

from __future__ import annotations

import json
import threading
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.services.http_agent import HttpServer, read_body, reply

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_STREAM = {"Content-Type": "application/x-ndjson"}
_SINCE = "2024-05-01T12:00:00.123456789+02:00"


class Mode(StrEnum):
    """How a part of the stub behaves."""

    OK = "ok"
    DEAD = "dead"  # 500 with an error, as when the model's runner has died
    HANGING = "hanging"  # takes the request and never answers
    GARBAGE = "garbage"  # 200 with something that is not JSON
    EMPTY = "empty"  # 200 and `{}`


class OllamaStub:
    """A stand-in that is running. `listing` (/api/tags, /api/ps) and `generation` are switched separately.

    `models` are installed, name to size in bytes; `loaded` are in memory; `generated` holds every body that
    was posted to /api/generate. Of those in memory, `gpu_ratio` is the share on the GPU and `expires_at` when they
    will be unloaded. A streamed answer has `words`: the first comes after `first_token_seconds`, the others after
    `token_seconds` each, and its last line says that each took `told_token_seconds`.
    """

    def __init__(self, port: int | None = None, host: str = "127.0.0.1") -> None:
        self.listing = self.generation = Mode.OK
        self.models = {"tinyllama:latest": 637_700_138, "llama3:latest": 4_661_224_676}
        self.loaded: set[str] = set()
        self.generated: list[dict[str, Any]] = []
        self.gpu_ratio: dict[str, float] = {}
        self.family: dict[str, str] = {}
        self.expires_at = _SINCE
        self.words = ["Hi"]
        self.first_token_seconds = self.token_seconds = 0.0
        self.told_token_seconds = 0.007
        self._closing = threading.Event()
        self._server = HttpServer(self._answer, port, host)
        self.port, self.url = self._server.port, self._server.url

    def close(self) -> None:
        """Stop listening and let go of what hangs."""
        self._closing.set()
        self._server.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = read_body(request)
        path = request.path.partition("?")[0]
        if request.command == "POST" and path == "/api/generate":
            status, *answers = self._generate(body)
            if self.generation is Mode.OK and len(answers) > 1:
                self._stream(request, answers)
            else:
                self._in_mode(request, self.generation, status, *answers)
        elif path in ("/api/tags", "/api/ps"):
            names = self.models if path == "/api/tags" else self.loaded
            self._in_mode(request, self.listing, 200, {"models": [self._model(name) for name in sorted(names)]})
        elif path == "/api/version":
            self._in_mode(request, self.listing, 200, {"version": "0.12.0"})
        elif path == "/":
            reply(request, 200, b"Ollama is running", {"Content-Type": "text/plain; charset=utf-8"})
        else:
            reply(request, 404, b"404 page not found", {"Content-Type": "text/plain"})

    def _in_mode(self, request: BaseHTTPRequestHandler, mode: Mode, status: int, *answers: Any) -> None:
        if mode is Mode.HANGING:
            self._closing.wait()
            request.close_connection = True
        elif mode is Mode.DEAD:
            error = {"error": "llama runner process has terminated: exit status 2"}
            reply(request, 500, json.dumps(error).encode(), _JSON)
        elif mode is Mode.GARBAGE:
            reply(request, 200, b"<html>not \xff json", _JSON)
        else:
            lines = [json.dumps(answer) for answer in ([{}] if mode is Mode.EMPTY else answers)]
            reply(request, status, "\n".join(lines).encode(), _JSON if len(lines) == 1 else _STREAM)

    def _generate(self, body: bytes) -> tuple[Any, ...]:
        asked: dict[str, Any] = json.loads(body)
        self.generated.append(asked)
        name = _tagged(str(asked.get("model", "")))
        if name not in self.models:
            return 404, {"error": f"model '{name}' not found"}
        self.loaded.add(name)
        said = {"model": name, "created_at": _SINCE, "response": "Hi", "done": False}
        figures = {
            "done": True,
            "done_reason": "length",
            "context": [1, 2, 3],
            "total_duration": 52_000_000,
            "load_duration": 11_000_000,
            "prompt_eval_count": 3,
            "prompt_eval_duration": 8_000_000,
            "eval_count": len(self.words),
            "eval_duration": int(len(self.words) * self.told_token_seconds * 1e9),
        }
        if asked.get("stream", True):
            return 200, *({**said, "response": word} for word in self.words), {**said, **figures, "response": ""}
        return 200, {**said, **figures}

    def _stream(self, request: BaseHTTPRequestHandler, answers: list[Any]) -> None:
        """A line for each token when it comes, as Ollama does in chunks."""
        request.send_response(200)
        for name, value in {**_STREAM, "Transfer-Encoding": "chunked"}.items():
            request.send_header(name, value)
        request.end_headers()
        for number, answer in enumerate(answers):
            self._closing.wait(self.first_token_seconds if number == 0 else self.token_seconds)
            line = json.dumps(answer).encode() + b"\n"
            request.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")

    def _model(self, name: str) -> dict[str, Any]:
        size = self.models.get(name, 0)
        model = {"name": name, "model": name, "modified_at": _SINCE, "size": size, "digest": f"{size:064x}"}
        family = self.family.get(name, "llama")
        details = {"format": "gguf", "family": family, "parameter_size": "1B", "quantization_level": "Q4_0"}
        gpu_bytes = int(size * self.gpu_ratio.get(name, 0.0))
        loaded = {"expires_at": self.expires_at, "size_vram": gpu_bytes} if name in self.loaded else {}
        return {**model, "details": details, **loaded}


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"
