"""What a configuration is once it is loaded, and what it is if it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from exporter.redaction import passwords_in, secrets_of_url
from exporter.setting_types import SecretUrl
from exporter.settings import Settings
from jobs.core.settings import World


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Configuration:
    """Validated settings, the plain document they came from (it has secrets: never log it) and each value's origin.

    `file` is the configuration file, where there is one.
    """

    settings: Settings
    document: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, and the password within it where it is a DSN, to take them out of output.

        Of a URL to post to it is what comes after the server, which has to stay readable in errors.
        """
        return frozenset(form for secret in _secrets_in(self.settings) for form in _forms(secret) if form)

    def for_run(self, job_key: str) -> dict[str, Any]:
        """The part of the document that a run of one job needs: the world and the job's own section, and the file."""
        world = {name: self.document[name] for name in World.model_fields if name in self.document}
        world["base_dir"] = str(self.settings.base_dir)
        job = self.document.get("jobs", {}).get(job_key, {})
        return {"world": world, "job": job, "file": str(self.file) if self.file else None}


def _forms(secret: SecretStr) -> list[str]:
    text = secret.get_secret_value()
    return secrets_of_url(text) if isinstance(secret, SecretUrl) else [text, *passwords_in(text)]


def _secrets_in(value: object) -> Iterator[SecretStr]:
    """Every secret of the settings, however deep: a list of servers has one in each."""
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from _secrets_in(inner)
