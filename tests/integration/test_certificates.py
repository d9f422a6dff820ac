"""Certificates in real files, good and bad."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.clients.certificates import read_certificate
from jobs.clients.errors import Absent, ClientError, Refused
from tests.services.binaries import need_root


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate for example.org, its subdomains and 127.0.0.1, for 40 days."""
    directory = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "40"]
    command += ["-addext", "subjectAltName=DNS:example.org,DNS:*.example.org,IP:127.0.0.1"]
    command += ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return (directory / "cert.pem").read_bytes()


def test_a_certificate_tells_its_time_and_names(tmp_path: Path, pem: bytes) -> None:
    (tmp_path / "cert.pem").write_bytes(pem)
    facts = read_certificate(tmp_path / "cert.pem")
    assert facts.names == ("example.org", "*.example.org", "127.0.0.1")
    assert abs(facts.not_after - datetime.now(UTC) - timedelta(days=40)) < timedelta(minutes=10)
    assert facts.not_before <= datetime.now(UTC)


def test_no_file_is_absence(tmp_path: Path) -> None:
    with pytest.raises(Absent):
        read_certificate(tmp_path / "cert.pem")


def test_what_is_no_certificate_is_a_failure_in_one_line(tmp_path: Path, pem: bytes) -> None:
    path = tmp_path / "cert.pem"
    for content in (b"", b"text", pem[: len(pem) // 2], pem.replace(pem[100:110], b"AAAAAAAAAA"), bytes(1024)):
        path.write_bytes(content)
        with pytest.raises(ClientError, match="is not a certificate in PEM form") as failure:
            read_certificate(path)
        assert "\n" not in str(failure.value)


def test_a_pipe_or_directory_or_endless_file_in_its_place_is_a_failure(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "big").open("wb") as big:
        big.truncate(1 << 30)
    for path, message in ((tmp_path / "pipe", "not a file"), (tmp_path, "not a file"), (tmp_path / "big", "more than")):
        with pytest.raises(ClientError, match=message):
            read_certificate(path)


def test_a_file_that_may_not_be_read_is_a_refusal(tmp_path: Path, pem: bytes) -> None:
    need_root("becoming another user")
    (tmp_path / "cert.pem").write_bytes(pem)
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(Refused):
            read_certificate(tmp_path / "cert.pem")
    finally:
        os.seteuid(0)
