"""How a cron line or a unit calls this program: which file it is, its arguments, and the settings that it is given."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import exporter
from exporter.config import CONFIG_FILE_VARIABLE, Configuration
from exporter.failure import EXIT_USAGE, Failure
from exporter.settings import PREFIX, environment_names, is_secret
from jobs.core.settings import World

PROGRAM = "sutazai-exporter"
ADMIN_EMAIL = f"{PREFIX}ADMIN_EMAIL"
TEXTFILE_DIRECTORY = f"{PREFIX}TEXTFILE__DIRECTORY"
BASE_DIR = f"{PREFIX}BASE_DIR"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Invocation:
    """A program, as absolute words; the configuration file it is told of; its part of the environment (no secrets)."""

    program: tuple[str, ...]
    config_file: Path | None
    environment: Mapping[str, str]
    is_other: bool = False
    """Whether it is another program than this one, which was named."""

    def argv(self, *arguments: str) -> tuple[str, ...]:
        """The whole command for these arguments."""
        told = ("--config.file", str(self.config_file)) if self.config_file else ()
        return (*self.program, *arguments, *told)

    def paths(self) -> tuple[Path, ...]:
        """The files that it cannot do without."""
        own = [Path(word) for word in self.program if word.startswith("/")]
        told = [self.config_file] if self.config_file else []
        python = [] if self.is_other else [Path(sys.prefix), Path(sys.base_prefix), Path(exporter.__file__).parent]
        return (*own, *python, *told)


def invocation(
    configuration: Configuration, environment: Mapping[str, str], given: Mapping[str, str], program: Path | None = None
) -> Invocation:
    """How to call this very program with this configuration. `given` are variables that were asked for.

    Raise Failure where something in it cannot stand in a line of text.
    """
    words, extra = ((str(program),), {}) if program else _this_program()
    settings = {**_carried(environment), **_base_dir(configuration, environment), **given}
    for text in (*words, str(configuration.file or ""), *settings.values()):
        if _CONTROL.search(text):
            raise Failure(f"{text!r} cannot stand in a crontab or unit: it has control characters", EXIT_USAGE)
    return Invocation(words, configuration.file, {**extra, **dict(sorted(settings.items()))}, bool(program))


def secrets_left_out(environment: Mapping[str, str]) -> list[str]:
    """Variables of the environment that hold secrets: they are written nowhere."""
    known = environment_names()
    return [name for name in sorted(environment) if name in known and is_secret(known[name][1])]


def _this_program() -> tuple[tuple[str, ...], dict[str, str]]:
    script = Path(sys.argv[0]).absolute()
    if script.name == PROGRAM and script.is_file():
        return (str(script),), {}
    code = Path(exporter.__file__).resolve().parents[1]
    installed = code.is_relative_to(sys.prefix)
    return (sys.executable, "-P", "-m", "exporter"), {} if installed else {"PYTHONPATH": str(code)}


def _carried(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the caller's environment, which neither cron nor systemd has."""
    known = environment_names()
    kept = {}
    for name, value in environment.items():
        if name == CONFIG_FILE_VARIABLE or not name.startswith(PREFIX):
            continue
        if name in known and not is_secret(known[name][1]):
            kept[name] = value
        elif name not in known and name.removesuffix("_FILE") in known:
            kept[name] = str(Path(value).absolute())
    return kept


def _base_dir(configuration: Configuration, environment: Mapping[str, str]) -> dict[str, str]:
    usual = configuration.settings.base_dir == World.model_fields["base_dir"].default
    return {} if usual and BASE_DIR not in environment else {BASE_DIR: str(configuration.settings.base_dir)}
