"""What certificate renewal can be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from jobs.core.certificates import is_address
from jobs.core.settings import AgentName, JobSettings, Seconds, SettingsModel, TlsServer

STANDARD, FORCE, WATCH = "standard", "force", "watch"
MODES = (STANDARD, FORCE, WATCH)
"""Renew what is due; renew our own pair in any case; look only."""

OWN = Path("ssl/cert.pem")
OWN_KEY = Path("ssl/key.pem")
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")


def _certificate_name(text: str) -> str:
    if not (is_address(text) or (_NAME.fullmatch(text) and len(text) <= 253)):
        raise ValueError(f"{text!r} is neither a DNS name nor an IP address")
    return text


def _argument_list(argv: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in argument for argument in argv) or not argv[0].strip():
        raise ValueError("a command is a list: the program, then its arguments")
    return argv


CertificateName = Annotated[str, AfterValidator(_certificate_name)]
Command = Annotated[tuple[str, ...], Field(min_length=1, max_length=100), AfterValidator(_argument_list)]


class CertificateFile(SettingsModel):
    """A certificate in a file, and how it is renewed where that is not ours to do."""

    path: Path = Field(description="PEM file, relative to the base directory; it may hold the whole chain.")
    key: Path | None = Field(None, description="Its private key; ssl/cert.pem has ssl/key.pem.")
    ca_file: Path | None = Field(None, description="Authorities that it must lead to; unset: the system's, if any.")
    names: tuple[CertificateName, ...] = Field((), description="Names and addresses that it must be for.")
    renewal_command: Command | None = Field(
        None, description="Program and arguments that renew it (certbot, lego, step), run when it is due."
    )
    renewal_timeout_seconds: Seconds = Field(300, description="Limit of the renewal command.")


class Endpoint(TlsServer):
    """A server that serves a certificate."""

    server_name: CertificateName | None = Field(None, description="Name that it is asked for and must be good for.")
    ca_file: Path | None = Field(None, description="Authorities that it must lead to.")
    certificate: Path | None = Field(None, description="File whose certificate it should serve.")
    timeout_seconds: Seconds = Field(5, description="Limit of the whole handshake.")


class Service(SettingsModel):
    """Something that must be told when a certificate has changed: a container, or whatever a command reaches."""

    container: AgentName | None = Field(None, description="Container that is signalled or restarted.")
    action: Literal["signal", "restart"] = Field("signal", description="What is done to the container.")
    signal: str = Field("SIGHUP", pattern=r"^SIG[A-Z0-9]{1,10}$", description="Signal that makes it read its files.")
    command: Command | None = Field(None, description="Program and arguments, instead of a container.")
    certificate: Path = Field(OWN, description="File of the certificate that it uses.")
    timeout_seconds: Seconds = Field(60, description="Limit of the command, or of stopping the container.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.container is None) == (self.command is None):
            raise ValueError("a service has either a container or a command")
        return self

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.container or (self.command or ("",))[0]


class Settings(JobSettings):
    """What there is to watch, how a certificate is made, and who must know of it."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(1800, description="A run is killed after this.")
    max_memory_mb: int = Field(512, ge=64, le=1048576, description="Memory that a run may allocate.")
    files: tuple[CertificateFile, ...] = Field((), description="Certificates beside ssl/cert.pem, or more about it.")
    directories: tuple[Path, ...] = Field((), description="Directories whose PEM files are watched.")
    max_directory_files: int = Field(
        500, ge=1, le=10000, description="PEM files in directories beyond this are not looked at."
    )
    endpoints: tuple[Endpoint, ...] = Field((), max_length=500, description="Servers whose certificate is watched.")
    services: tuple[Service, ...] = Field((), description="What is told when a certificate has changed.")
    key_type: Literal["rsa", "ecdsa"] = Field("rsa", description="Kind of a new key; ecdsa is on the curve P-256.")
    key_size: int = Field(2048, ge=2048, le=8192, description="Bits of a new RSA key.")
    cert_validity_days: int = Field(365, ge=1, le=3650, description="Life of a new certificate.")
    extra_names: tuple[CertificateName, ...] = Field(
        (), description="Names of a new certificate beside the usual ones."
    )
    ca_certificate: Path | None = Field(None, description="Certificate of a private CA that signs; unset: self-signed.")
    ca_key: Path | None = Field(None, description="Its private key.")
    ca_key_password: SecretStr | None = Field(None, description="Password of the CA's key, where it has one.")
    adopt_self_signed: bool = Field(
        False, description="Whether a self-signed ssl/cert.pem that was not made here may be replaced by a new one."
    )
    reload_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        10, description="Time in which endpoints must serve the new certificate, else the old one comes back."
    )
    keep_versions: int = Field(5, ge=2, le=1000, description="Newest versions and backups that are kept.")
    version_retention_days: int = Field(400, ge=1, le=3650, description="Older versions and backups are removed.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.ca_certificate is None) != (self.ca_key is None):
            raise ValueError("ca_certificate and ca_key are set both or not at all")
        for what, keys in (
            ("files", [str(one.path) for one in self.files]),
            ("endpoints", [one.address for one in self.endpoints]),
        ):
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice:
                raise ValueError(f"{what}: {twice} stands here twice")
        return self
