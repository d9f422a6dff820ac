"""What a first configuration is asked for. Each question has a flag, and is about settings that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.redaction import passwords_in

Setting = tuple[str, ...]
"""A setting by the names that lead to it."""
NOTHING = "-"
"""The answer that leaves a setting unset where something is proposed."""


class BadAnswer(ValueError):
    """What was answered cannot be taken; the message is one line that quotes no secret."""


@dataclass(frozen=True)
class Question:
    """One question. `needs` is a setting without which it is not asked; `read` makes an answer into settings.

    A `secret` is asked with hidden input, and its flag names a file.
    """

    flag: str
    text: str
    setting: Setting
    secret: bool = False
    needs: Setting | None = None
    choices: tuple[str, ...] = ()
    read: Callable[[str], Mapping[Setting, Any]] | None = None

    @property
    def argument(self) -> str:
        """What its flag is called in a program."""
        return self.flag.removeprefix("--").replace("-", "_")

    def settings(self, answer: str) -> Mapping[Setting, Any]:
        """What an answer sets, as plain values; raise BadAnswer."""
        return self.read(answer) if self.read else {self.setting: answer}


def _server(answer: str) -> Mapping[Setting, Any]:
    """`host` or `host:port` of a mail server."""
    mail = ("notifications", "mail")
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?", answer)
    if not found:
        raise BadAnswer(f"{answer!r} is neither a host nor host:port")
    host: dict[Setting, Any] = {(*mail, "host"): found[1]}
    return {**host, (*mail, "port"): int(found[2])} if found[2] else host


def _agents(answer: str) -> Mapping[Setting, Any]:
    """`name:port` of each, with commas in between."""
    listed = []
    for text in filter(None, (part.strip() for part in answer.split(","))):
        name, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"\d{1,5}", port):
            raise BadAnswer(f"{text!r} is not name:port")
        listed.append({"name": name, "port": int(port)})
    return {("agents", "listed"): listed}


QUESTIONS: tuple[tuple[Question, ...], ...] = (
    (Question("--domain", "Domain of this host's certificate", ("certificate", "domain")),),
    (Question("--listen-address", "Address to serve on", ("web", "listen_address")),),
    (Question("--docker-url", "Docker engine (a socket proxy, say)", ("docker", "url")),),
    (Question("--agents", "Agents that must be there (name:port, ...)", ("agents", "listed"), read=_agents),),
    (
        Question("--postgres-dsn", "PostgreSQL (postgresql://user@host:5432/database)", ("postgres", "dsn")),
        Question(
            "--postgres-password-file",
            "Password of PostgreSQL",
            ("postgres", "password"),
            secret=True,
            needs=("postgres", "dsn"),
        ),
    ),
    (Question("--postgres-container", "Container that PostgreSQL runs in", ("postgres", "container")),),
    (
        Question("--redis-url", "Redis (redis://host:6379/0)", ("redis", "url")),
        Question(
            "--redis-password-file", "Password of Redis", ("redis", "password"), secret=True, needs=("redis", "url")
        ),
    ),
    (Question("--ollama-url", "Ollama (http://host:11434)", ("ollama", "url")),),
    (
        Question("--email", "Mail address of the person in charge", ("admin_email",)),
        Question("--smtp", "Mail server (host:port)", ("notifications", "mail", "host"), read=_server),
        Question(
            "--smtp-security",
            "How it is encrypted",
            ("notifications", "mail", "security"),
            needs=("notifications", "mail", "host"),
            choices=("starttls", "tls", "none"),
        ),
        Question(
            "--smtp-user",
            "Who logs in there",
            ("notifications", "mail", "username"),
            needs=("notifications", "mail", "host"),
        ),
        Question(
            "--smtp-password-file",
            "Password of the mail server",
            ("notifications", "mail", "password"),
            secret=True,
            needs=("notifications", "mail", "username"),
        ),
    ),
    (
        Question("--webhook", "Webhook that hears of problems (https://...)", ("notifications", "webhook", "url")),
        Question(
            "--webhook-token-file",
            "Token of the webhook",
            ("notifications", "webhook", "token"),
            secret=True,
            needs=("notifications", "webhook", "url"),
        ),
    ),
    (
        Question("--alertmanager-url", "Alertmanager (http://host:9093)", ("alertmanager", "url")),
        Question(
            "--alertmanager-token-file",
            "Token of Alertmanager",
            ("alertmanager", "token"),
            secret=True,
            needs=("alertmanager", "url"),
        ),
    ),
    (Question("--textfile-directory", "Directory that node-exporter reads *.prom from", ("textfile", "directory")),),
    (
        Question(
            "--mode",
            "What alerts may bring about (off, shadow: say only, approve: ask a person, auto)",
            ("remediation", "mode"),
            choices=("off", "shadow", "approve", "auto"),
        ),
    ),
)
"""All questions but the base directory's; those of a group are checked together."""


def holds_password(answer: str) -> bool:
    """Whether a URL or DSN has a password in it, which then stands in no file that others may read."""
    return bool(passwords_in(answer))
