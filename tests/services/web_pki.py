"""Certificates for a web server and its clients, users with passwords, and files that name them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from tests.services.certificates import Made, make, make_ca

PASSWORDS = {"alice": "correct horse", "bob": "battery staple"}
COST = 4
"""The least that bcrypt has: tests are to be cheap."""


def hashed(password: str, cost: int = COST, prefix: bytes = b"2b") -> str:
    """The bcrypt hash of a password."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).replace(b"$2b$", b"$%s$" % prefix).decode()


class WebPki:
    """A directory with a CA of its own, a server's certificate, and clients' certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = make_ca()
        directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self.ca.cert_pem)
        self.server = self.issue("server")
        self.client("alice", common_name="alice", names=("alice.example", "192.0.2.1"))
        make(("stranger.example",), common_name="stranger").write(directory, "stranger.pem", "stranger.key")

    def issue(self, name: str) -> Made:
        """Write NAME.pem and NAME.key, a new certificate for localhost."""
        return make(ca=self.ca).write(self.directory, f"{name}.pem", f"{name}.key")

    def client(self, name: str, *, common_name: str, names: tuple[str, ...]) -> None:
        """Write a client's NAME.pem and NAME.key."""
        made = make(names, ca=self.ca, common_name=common_name)
        made.write(self.directory, f"{name}.pem", f"{name}.key")

    def files(self, name: str) -> list[str]:
        """curl's arguments for a client certificate."""
        return ["--cert", str(self.directory / f"{name}.pem"), "--key", str(self.directory / f"{name}.key")]


def tls(**more: Any) -> dict[str, Any]:
    """`tls_server_config` with the server's pair."""
    return {"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key", **more}}


def users(*names: str, cost: int = COST) -> dict[str, Any]:
    """`basic_auth_users` with these of PASSWORDS."""
    return {"basic_auth_users": {name: hashed(PASSWORDS[name], cost) for name in names}}


def write_web_config(file: Path, config: Mapping[str, Any] | str) -> Path:
    """Write a web configuration file with a mode that nobody warns of."""
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(dict(config)))
    file.chmod(0o640)
    return file


class Answer:
    """What curl says of one request: `status` (0: there was no answer), headers by lower-case name, body, exit code."""

    def __init__(self, run: subprocess.CompletedProcess[str]) -> None:
        self.code, self.error = run.returncode, run.stderr
        head, _, self.text = run.stdout.partition("\n\n")
        lines = head.splitlines()
        self.status = int(lines[0].split()[1]) if lines and lines[0].startswith("HTTP/") else 0
        self.protocol = lines[0].split()[0] if lines else ""
        self.headers: dict[str, list[str]] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.headers.setdefault(name.lower(), []).append(value)


def curl(url: str, *arguments: str, user: str = "", timeout_seconds: int = 20) -> Answer:
    """One request of a real curl."""
    if user and ":" not in user:
        user = f"{user}:{PASSWORDS[user]}"
    command = ["curl", "-sS", "-i", "--noproxy", "*", "-m", str(timeout_seconds), *arguments]
    command += ["-u", user] if user else []
    # Text mode makes of curl's CR LF a line feed.
    run = subprocess.run([*command, url], capture_output=True, text=True, errors="replace", timeout=60)
    return Answer(run)
