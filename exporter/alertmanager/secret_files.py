"""Where Alertmanager finds its secrets: in files, so that its configuration holds none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from exporter.config import Configuration

MAIL_PASSWORD = ("notifications", "mail", "password")
WEBHOOK_TOKEN = ("notifications", "webhook", "token")
BRIDGE_TOKEN = ("alertmanager", "bridge_token")


@dataclass(frozen=True)
class SecretFile:
    """A secret that Alertmanager needs: its setting, its value where it is known, and the file to read it from."""

    setting: str
    value: SecretStr | None
    file: Path

    @property
    def content(self) -> bytes:
        """What belongs in the file."""
        return self.value.get_secret_value().encode() if self.value else b""


class SecretFiles:
    """The files of secrets: those that they came from, or new ones in a `directory` that is given.

    `environment` is where a variable `SUTAZAI_..._FILE` names a file. A secret that stands in the YAML file, in a
    variable or in a unit's credentials (which are gone when the exporter stops) has no file: the usual one in
    `secrets_secure` is named, and `missing` tells that it must be made.
    """

    def __init__(
        self, configuration: Configuration, environment: Mapping[str, str], directory: Path | None = None
    ) -> None:
        self._configuration, self._environment, self.directory = configuration, environment, directory
        self._needed: dict[str, SecretFile] = {}

    def path(self, setting: tuple[str, ...]) -> str:
        """The file to name for a secret, which is from now on one that is needed."""
        name = ".".join(setting)
        value = getattr(self._section(setting), setting[-1])
        self._needed[name] = SecretFile(name, value, self._file(setting))
        return str(self._needed[name].file)

    def to_write(self) -> list[SecretFile]:
        """What is to be written to the new directory."""
        return [secret for secret in self._needed.values() if self.directory and secret.value]

    def missing(self) -> list[SecretFile]:
        """Secrets whose file is not there, or empty, and will not be written."""
        written = self.to_write()
        return [secret for secret in self._needed.values() if secret not in written and not _has_content(secret.file)]

    def named(self) -> list[SecretFile]:
        """Secrets whose file is there already, for Alertmanager's user to read."""
        apart = [*self.to_write(), *self.missing()]
        return [secret for secret in self._needed.values() if secret not in apart]

    def _section(self, setting: tuple[str, ...]) -> object:
        section: object = self._configuration.settings
        for name in setting[:-1]:
            section = getattr(section, name)
        return section

    def _file(self, setting: tuple[str, ...]) -> Path:
        if self.directory:
            return self.directory / "__".join(setting)
        origin = self._configuration.origins.get(".".join(setting), "")
        if origin.endswith("_FILE") and origin in self._environment:
            return Path(self._environment[origin]).absolute()
        return self._configuration.settings.base_dir / "secrets_secure" / "__".join(setting)


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0
