"""The Ollama server: what it has installed and loaded, and whether it can still generate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.clients import ollama_probe
from jobs.clients.discovery import LOCAL, listens, told
from jobs.clients.errors import Absent, ClientError
from jobs.clients.http import Ask, HttpClient, Reply
from jobs.core.settings import OllamaSettings

PORT = 11434
LIST_SECONDS = 5.0
_MAX_LIST_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 1 << 60
_CANARY = {"prompt": "1", "stream": False, "options": {"num_predict": 1}}


@dataclass(frozen=True)
class Model:
    """A model by its name; embedding models cannot generate."""

    name: str
    size_bytes: int
    can_generate: bool


@dataclass(frozen=True)
class Loaded:
    """A model in memory. `expires_at` is when the server will unload it, None where it does not say."""

    name: str
    bytes: int
    gpu_bytes: int
    expires_at: datetime | None
    can_generate: bool

    @property
    def gpu_ratio(self) -> float | None:
        """The share of it that is in the GPU's memory; None where its size is not told."""
        return min(1.0, self.gpu_bytes / self.bytes) if self.bytes else None


class Ollama:
    """One server: the configured one, or else the one at Ollama's usual local address.

    Each method raises ClientError where the server does not answer as its API's description says
    (https://github.com/ollama/ollama/blob/main/docs/api.md).
    """

    def __init__(self, settings: OllamaSettings, http: HttpClient, *, port: int = PORT) -> None:
        self._settings, self._http, self._port = settings, http, port

    def installed(self) -> list[Model]:
        """The models on its disk; raise Absent where nobody configured a server and none is there."""
        self._must_be_there()
        return self._list("/api/tags")

    def running(self) -> list[Loaded]:
        """The models in memory, with where they are and how long they stay; raise Absent as `installed`."""
        self._must_be_there()
        return [_loaded(raw) for raw in self._models("/api/ps")]

    def probe(self, model: str, keep_alive_seconds: int, timeout_seconds: float) -> ollama_probe.Generation:
        """Have `model` generate a few tokens and return how fast it was.

        It is kept in memory for `keep_alive_seconds` from then on (-1: for ever), so whoever asks does not prolong its
        stay. A model that is not loaded would be loaded: ask only for one that is.
        """
        watch = ollama_probe.Stopwatch()
        body, url = ollama_probe.order(model, keep_alive_seconds), self._url("/api/generate")
        headers, most = {"Content-Type": "application/json"}, ollama_probe.MAX_BODY_BYTES
        reply = self._http.fetch(Ask(url, timeout_seconds, "POST", body, headers, most, watch.piece))
        self._must_be_whole("/api/generate", reply)
        try:
            return watch.generation(reply.body)
        except ollama_probe.NotAsAsked as error:
            raise ClientError(f"{url}: the generation by {model}: {told(error)}") from None

    def loaded(self) -> list[Model]:
        """The models in memory."""
        return self._list("/api/ps")

    def canary_model(self, installed: list[Model]) -> str:
        """The configured model, else one that is loaded, else the smallest; empty where none can generate."""
        if self._settings.canary_model:
            return self._settings.canary_model
        names = [model.name for model in self.loaded() if model.can_generate]
        names += [m.name for m in sorted(installed, key=lambda m: (m.size_bytes, m.name)) if m.can_generate]
        return names[0] if names else ""

    def generate_token(self, model: str) -> float:
        """Have `model` generate one token and return the seconds it took."""
        body = json.dumps({"model": model, **_CANARY}).encode()
        limit = self._settings.canary_timeout_seconds
        ask = Ask(self._url("/api/generate"), limit, "POST", body, {"Content-Type": "application/json"})
        reply = self._http.fetch(ask)
        said = self._object("/api/generate", reply)
        if said.get("done") is not True or not isinstance(said.get("response"), str):
            raise ClientError(f"{ask.url}: the reply to a generation by {model} is not a finished response")
        return reply.seconds

    def _must_be_there(self) -> None:
        if self._settings.url is None and not listens(LOCAL, self._port):
            raise Absent(f"no Ollama at {LOCAL}:{self._port}; set ollama.url")

    def _list(self, path: str) -> list[Model]:
        return [_model(raw) for raw in self._models(path)]

    def _models(self, path: str) -> list[dict[str, Any]]:
        reply = self._http.fetch(Ask(self._url(path), LIST_SECONDS, max_body_bytes=_MAX_LIST_BYTES))
        models = self._object(path, reply).get("models")
        if models is None:  # how some versions write an empty list
            return []
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise ClientError(f"{self._url(path)}: 'models' is not a list of objects")
        return models

    def _must_be_whole(self, path: str, reply: Reply) -> None:
        url = self._url(path)
        if reply.error:
            raise ClientError(f"{url}: {reply.error}")
        if reply.status != 200:
            raise ClientError(f"{url}: status {reply.status}: {told(reply.body.decode(errors='replace'))}")
        if reply.truncated:
            raise ClientError(f"{url}: the answer is too long")

    def _object(self, path: str, reply: Reply) -> dict[str, Any]:
        self._must_be_whole(path, reply)
        url = self._url(path)
        try:
            value = json.loads(reply.body)
        except (ValueError, RecursionError):  # RecursionError: some thousand brackets, one in another
            raise ClientError(f"{url}: the answer is not JSON") from None
        if not isinstance(value, dict):
            raise ClientError(f"{url}: the answer is not a JSON object")
        return value

    def _url(self, path: str) -> str:
        return (self._settings.url or f"http://{LOCAL}:{self._port}").rstrip("/") + path


def _model(raw: dict[str, Any]) -> Model:
    return Model(str(raw.get("name", "")), _bytes(raw, "size"), _can_generate(raw))


def _loaded(raw: dict[str, Any]) -> Loaded:
    return Loaded(
        name=str(raw.get("name", "")),
        bytes=_bytes(raw, "size"),
        gpu_bytes=_bytes(raw, "size_vram"),
        expires_at=_time(raw.get("expires_at")),
        can_generate=_can_generate(raw) and "embed" not in str(raw.get("name", "")),
    )


def _can_generate(raw: dict[str, Any]) -> bool:
    """BERT and its kin (all-minilm, nomic-embed-text) only embed: asked to generate, they answer 400."""
    details = raw.get("details")
    return "bert" not in (str(details.get("family", "")) if isinstance(details, dict) else "")


def _bytes(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_BYTES else 0


def _time(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at and at.tzinfo else None
