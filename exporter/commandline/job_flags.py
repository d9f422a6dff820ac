"""What a job's flags are on the command line: options of `run`, and what they choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from exporter.commandline.arguments import completing
from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.config import Configuration
    from jobs.core.job import Flag, Job

RECIPIENTS = ("notifications", "mail", "recipients")


@dataclass(frozen=True)
class Chosen:
    """What flags amount to: a mode (empty: none), settings for this run, with the flag that sets each, an address.

    `mail_to` is None where nobody is to be mailed.
    """

    mode: str = ""
    settings: Mapping[tuple[str, ...], Any] = field(default_factory=dict)
    flags: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    mail_to: str | None = None


def options_of(job: Job) -> list[click.Option]:
    """The job's flags as options of a command."""
    return [_option(job, flag) for flag in job.flags]


def _option(job: Job, flag: Flag) -> click.Option:
    if not flag.takes_value:
        return click.Option([flag.name, parameter_of(flag)], is_flag=True, help=_help(job, flag))
    values = values_of(job, flag)
    return click.Option(
        [flag.name, parameter_of(flag)],
        metavar="|".join(values) or ("ADDRESS" if flag.mails else "NUMBER" if _is_number(job, flag) else "TEXT"),
        shell_complete=completing(lambda context: values),
        help=_help(job, flag),
    )


def parameter_of(flag: Flag) -> str:
    """What a flag's value is called among the arguments of the command; no other argument is called so."""
    return f"flag_{flag.name.lstrip('-').replace('-', '_')}"


def _help(job: Job, flag: Flag) -> str:
    means = [f"mode {flag.mode}"] if flag.mode else []
    means += [f"sets {_dotted(job, flag)}"] if flag.setting else []
    return f"{flag.help} [{', '.join(means)}]" if means else flag.help


def values_of(job: Job, flag: Flag) -> tuple[str, ...]:
    """The values that a flag may have, where they can be listed."""
    if flag.modes or not flag.setting:
        return flag.modes
    return tuple(_listed(_annotation(job, flag)))


def _is_number(job: Job, flag: Flag) -> bool:
    return bool(flag.setting) and _annotation(job, flag) in (int, float)


def _annotation(job: Job, flag: Flag) -> Any:
    """The type of the setting that a flag sets."""
    section: Any = job.settings
    *above, last = flag.setting.split(".")
    for name in above:
        section = section.model_fields[name].annotation
    return section.model_fields[last].annotation


def _listed(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)
    else:
        for inner in get_args(annotation):
            yield from _listed(inner)


def chosen(job: Job, mode: str, given: Mapping[str, Any]) -> Chosen:
    """What was chosen by `--mode` and the flags that were given; raise Failure where they contradict each other."""
    used = [(flag, value) for flag in job.flags if (value := given.get(parameter_of(flag))) not in (None, False)]
    modes = {flag.name: flag.mode or _one_of(flag, str(value)) for flag, value in used if flag.mode or flag.modes}
    if mode:
        modes = {"--mode": mode, **modes}
    if len(set(modes.values())) > 1:
        raise Failure(f"{' and '.join(modes)} choose different modes: leave one of them out", EXIT_USAGE)
    sets = {_path(job, flag): (flag, value) for flag, value in used if flag.setting}
    return Chosen(
        mode=next(iter(modes.values()), ""),
        settings={path: value if flag.takes_value else flag.value for path, (flag, value) in sets.items()},
        flags={path: flag.name for path, (flag, _) in sets.items()},
        mail_to=next((str(value) for flag, value in used if flag.mails), None),
    )


def configured(config_file: Path | None, choice: Chosen) -> Configuration:
    """The configuration with what the flags set in it; raise ConfigError, and Failure where it is wrong by them."""
    from exporter.config import load

    configuration = load(config_file)
    if not choice.settings:
        return configuration
    return _with(config_file, choice.settings, choice.flags)


def mailing_to(config_file: Path | None, address: str) -> Configuration:
    """The configuration in which this address is the one that mail goes to; raise Failure where it is none."""
    return _with(config_file, {RECIPIENTS: [address]}, {(*RECIPIENTS[:-1], f"{RECIPIENTS[-1]}[0]"): "--email"})


def _with(
    config_file: Path | None, flags: Mapping[tuple[str, ...], Any], names: Mapping[tuple[str, ...], str]
) -> Configuration:
    from exporter.config import COMMAND_LINE, ConfigError, load

    try:
        return load(config_file, flags=flags)
    except ConfigError as error:
        # Without the flags it is good, so whatever is wrong is wrong usage: said of the flag, not of the setting.
        told = error.problems[0].removesuffix(f" (from {COMMAND_LINE})")
        name = next((name for path, name in names.items() if told.startswith(f"{'.'.join(path)}: ")), "")
        raise Failure(f"{name}: {told.partition(': ')[2]}" if name else told, EXIT_USAGE) from None


def _one_of(flag: Flag, value: str) -> str:
    from exporter.misspelt import nearest

    if value not in flag.modes:
        meant = nearest(value, flag.modes) or f"; write {', '.join(flag.modes)}"
        raise Failure(f"{flag.name}: {value!r} is no value of it{meant}", EXIT_USAGE)
    return value


def _path(job: Job, flag: Flag) -> tuple[str, ...]:
    return ("jobs", job.key, *flag.setting.split("."))


def _dotted(job: Job, flag: Flag) -> str:
    return ".".join(_path(job, flag))
