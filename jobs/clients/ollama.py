"""The Ollama server: what it has installed and loaded, and whether it can still generate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jobs.clients.discovery import LOCAL, listens, told
from jobs.clients.errors import Absent, ClientError
from jobs.clients.http import Ask, HttpClient, Reply
from jobs.core.settings import OllamaSettings

PORT = 11434
LIST_SECONDS = 5.0
_MAX_LIST_BYTES = 4 * 1024 * 1024
_CANARY = {"prompt": "1", "stream": False, "options": {"num_predict": 1}}


@dataclass(frozen=True)
class Model:
    """A model by its name; embedding models cannot generate."""

    name: str
    size_bytes: int
    can_generate: bool


class Ollama:
    """One server: the configured one, or else the one at Ollama's usual local address.

    Each method raises ClientError where the server does not answer as its API's description says
    (https://github.com/ollama/ollama/blob/main/docs/api.md).
    """

    def __init__(self, settings: OllamaSettings, http: HttpClient, *, port: int = PORT) -> None:
        self._settings, self._http, self._port = settings, http, port

    def installed(self) -> list[Model]:
        """The models on its disk; raise Absent where nobody configured a server and none is there."""
        if self._settings.url is None and not listens(LOCAL, self._port):
            raise Absent(f"no Ollama at {LOCAL}:{self._port}; set ollama.url")
        return self._list("/api/tags")

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

    def _list(self, path: str) -> list[Model]:
        reply = self._http.fetch(Ask(self._url(path), LIST_SECONDS, max_body_bytes=_MAX_LIST_BYTES))
        models = self._object(path, reply).get("models")
        if models is None:  # how some versions write an empty list
            return []
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            raise ClientError(f"{self._url(path)}: 'models' is not a list of objects")
        return [_model(model) for model in models]

    def _object(self, path: str, reply: Reply) -> dict[str, Any]:
        url = self._url(path)
        if reply.error:
            raise ClientError(f"{url}: {reply.error}")
        if reply.status != 200:
            raise ClientError(f"{url}: status {reply.status}: {told(reply.body.decode(errors='replace'))}")
        try:
            value = json.loads(reply.body)
        except (ValueError, RecursionError):  # RecursionError: some thousand brackets, one in another
            reason = "too long" if reply.truncated else "not JSON"
            raise ClientError(f"{url}: the answer is {reason}") from None
        if not isinstance(value, dict):
            raise ClientError(f"{url}: the answer is not a JSON object")
        return value

    def _url(self, path: str) -> str:
        return (self._settings.url or f"http://{LOCAL}:{self._port}").rstrip("/") + path


def _model(raw: dict[str, Any]) -> Model:
    details = raw.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    size = raw.get("size")
    return Model(
        name=str(raw.get("name", "")),
        size_bytes=size if isinstance(size, int) else 0,
        # BERT and its kin (all-minilm, nomic-embed-text) only embed: asked to generate, they answer 400.
        can_generate="bert" not in family,
    )
