"""Answers as they are gathered: values of settings and, apart from them, secrets; checked by the real settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config.errors import describe
from exporter.init.questions import Question, Setting, holds_password
from exporter.redaction import keys_in
from exporter.settings import is_secret, leaf_fields, settings_model


@dataclass
class Answers:
    """What was chosen: `settings` for the file, `secrets` for files of their own."""

    base_dir: Path
    settings: dict[Setting, Any] = field(default_factory=dict)
    secrets: dict[Setting, str] = field(default_factory=dict)

    def take(self, question: Question, answer: str) -> None:
        """Note an answer; a DSN or URL with a password or key in it is a secret as a whole. Raise BadAnswer."""
        if question.secret or holds_key(question, answer):
            self.secrets[question.setting] = answer
            return
        for setting, value in question.settings(answer).items():
            if isinstance(value, str) and is_secret(dict(leaf_fields())[setting]) and holds_password(value):
                self.secrets[setting] = value
            else:
                self.settings[setting] = value

    def copy(self) -> Answers:
        """The same, to come back to."""
        return Answers(self.base_dir, dict(self.settings), dict(self.secrets))

    def become(self, other: Answers) -> None:
        """Be as another one is."""
        self.settings, self.secrets = dict(other.settings), dict(other.secrets)

    def has(self, setting: Setting) -> bool:
        """Whether it was answered."""
        return setting in self.settings or setting in self.secrets

    def document(self) -> dict[str, Any]:
        """The settings as the configuration file has them."""
        return nested({("base_dir",): str(self.base_dir), **self.settings})

    def problems(self) -> list[str]:
        """What is wrong with all that was answered so far, one line each; no line quotes a secret."""
        document = nested({("base_dir",): str(self.base_dir), **self.settings, **self.secrets})
        try:
            settings_model().model_validate_json(json.dumps(document), strict=True)
        except ValidationError as error:
            return describe(error, settings_model(), {})
        return []


def holds_key(question: Question, answer: str) -> bool:
    """Whether a URL that is kept as a secret, such as a webhook's, has a key in its path or query."""
    return is_secret(dict(leaf_fields())[question.setting]) and bool(keys_in(answer))


def nested(values: Mapping[Setting, Any]) -> dict[str, Any]:
    """Values by their paths as mappings in mappings."""
    document: dict[str, Any] = {}
    for path, value in values.items():
        section = document
        for name in path[:-1]:
            section = section.setdefault(name, {})
        section[path[-1]] = value
    return document
