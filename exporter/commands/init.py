"""The command `init`: a first configuration, of what is asked and what is found."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from exporter.clock import SystemClock
from exporter.failure import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure
from exporter.given_files import read_given
from exporter.init.questions import QUESTIONS, BadAnswer, Question, Setting, holds_password

if TYPE_CHECKING:
    from exporter.init.answers import Answers
    from exporter.init.proposals import Proposal

_MAX_SECRET_BYTES = 1 << 16
_USUAL_BASE = "/opt/sutazaiapp"
_EVERY_QUESTION = [question for group in QUESTIONS for question in group]


def _flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each question."""
    for question in reversed(_EVERY_QUESTION):
        text = question.text
        help_text = f"File with: {text[:1].lower()}{text[1:]}." if question.secret else f"{text}."
        kind: Any = click.Path(path_type=Path) if question.secret else str
        if question.choices and not question.secret:
            kind = click.Choice(question.choices)
        command = click.option(question.flag, question.argument, type=kind, help=help_text)(command)
    return command


@click.command()
@click.option("--base-dir", type=click.Path(path_type=Path), help=f"Base directory. [default: {_USUAL_BASE}]")
@_flags
@click.option("--yes", is_flag=True, help="Ask nothing: take what is found, and else the defaults.")
@click.option("--output", metavar="FILE|-", help="Where to. [default: config/exporter.yml in the base directory]")
@click.option("--force", is_flag=True, help="Replace what is there; it is kept beside it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
def init(base_dir: Path | None, yes: bool, output: str | None, force: bool, dry_run: bool, **given: Any) -> None:
    """Write a first, commented configuration: asks what no flag has answered, and proposes what it finds here.

    Passwords and tokens go into files of their own (secrets_secure/, mode 0600), never into the configuration.

    \b
    Examples:
      sutazai-exporter init
      sutazai-exporter init --yes --email you@example.org --smtp smtp.example.org:587 --output -
    """
    from exporter.init.answers import Answers

    base = (base_dir or Path(os.environ.get("SUTAZAI_BASE_DIR") or _USUAL_BASE)).absolute()
    file = None if output == "-" else Path(output).absolute() if output else base / "config" / "exporter.yml"
    answered = {question.flag: value for question in _EVERY_QUESTION if (value := given[question.argument]) is not None}
    if not yes and not sys.stdin.isatty():
        _must_be_whole(answered)
    answers = Answers(base)
    _take_flags(answers, answered)
    _must_be_free(answers, file, force=force)
    _complete(answers, answered, yes=yes)
    text = _checked_text(answers)
    if file is None:
        _print(answers, text)
    else:
        _write(answers, file, text, force=force, dry_run=dry_run)


def _must_be_whole(answered: Mapping[str, Any]) -> None:
    missing = [question.flag for question in _EVERY_QUESTION if question.flag not in answered and not question.needs]
    if missing:
        raise Failure(
            f"there is no terminal to ask at, and no answer to {', '.join(missing)}; give those, or --yes to take"
            " what is found and else the defaults",
            EXIT_USAGE,
        )


def _take_flags(answers: Answers, answered: Mapping[str, Any]) -> None:
    from exporter.init.answers import holds_key

    for question in (one for one in _EVERY_QUESTION if one.flag in answered):
        value = _content(question, answered[question.flag]) if question.secret else answered[question.flag]
        if not question.secret and holds_password(value):
            raise Failure(
                f"{question.flag}: every user of this machine can read arguments; leave the password out of it and"
                f" give {_password_flag(question)}",
                EXIT_USAGE,
            )
        if not question.secret and holds_key(question, value):
            file = _secret_file(answers.base_dir, question.setting)
            raise Failure(
                f"{question.flag}: every user of this machine can read arguments; put a URL that has a key in it into"
                f" {file} (mode 0600)",
                EXIT_USAGE,
            )
        try:
            answers.take(question, value)
        except BadAnswer as error:
            raise Failure(f"{question.flag}: {error}", EXIT_USAGE) from None
    if problems := answers.problems():
        raise Failure("; ".join(problems), EXIT_USAGE)


def _password_flag(question: Question) -> str:
    beside = (one.flag for one in _EVERY_QUESTION if one.secret and one.needs == question.setting)
    return next(beside, "it in a file of secrets_secure/")


def _content(question: Question, file: Path) -> str:
    try:
        secret = read_given(file, _MAX_SECRET_BYTES + 1).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise Failure(f"{question.flag}: {file}: {reason}; name a file with the secret in it", EXIT_USAGE) from None
    if not secret or len(secret) > _MAX_SECRET_BYTES:
        raise Failure(f"{question.flag}: {file} is {'too long' if secret else 'empty'}", EXIT_USAGE)
    return secret


def _must_be_free(answers: Answers, file: Path | None, *, force: bool) -> None:
    """Before anybody has answered twelve questions for nothing."""
    from exporter.init.files import Taken, check_free

    if file is None:
        return
    try:
        check_free({file: None}, force=force)
    except Taken as taken:
        raise _is_taken(taken.path) from None


def _is_taken(path: Path) -> Failure:
    remedy = "edit it, choose another --output, or give --force to replace it (it is kept beside the new one)"
    return Failure(f"{path}: is there already; {remedy}", EXIT_UNAVAILABLE)


def _complete(answers: Answers, answered: Mapping[str, Any], *, yes: bool) -> None:
    from exporter.init.asking import ask
    from exporter.init.proposals import proposals

    if not yes and not sys.stdin.isatty():
        return
    found = proposals(answers.settings.get(("docker", "url")))
    if yes:
        _accept(answers, answered, found)
    else:
        ask(answers, frozenset(answered), found)


def _accept(answers: Answers, answered: Mapping[str, Any], found: Mapping[Setting, Proposal]) -> None:
    for question in _EVERY_QUESTION:
        proposal = found.get(question.setting)
        if proposal is None or question.flag in answered:
            continue
        taken = bool(proposal.answer) and not proposal.guess
        click.echo(f"seen: {proposal.seen}{f'; taken: {proposal.answer}' if taken else ''}", err=True)
        if taken:
            answers.take(question, proposal.answer)


def _checked_text(answers: Answers) -> str:
    """The file's text, once the loader itself has taken it with the secrets beside it; raise Failure."""
    from exporter.config import ConfigError, load
    from exporter.init.document import configuration_text

    text = configuration_text({("base_dir",): str(answers.base_dir), **answers.settings})
    with tempfile.TemporaryDirectory(prefix="sutazai-init-") as directory:
        trial = Path(directory, "exporter.yml")
        trial.write_text(text)
        try:
            load(trial, {}, dict(answers.secrets))
        except ConfigError as error:
            told = "; ".join(problem.replace(f" (from {trial})", "") for problem in error.problems)
            raise Failure(f"these answers do not make a configuration: {told}", EXIT_CONFIG) from None
    return text


def _secret_files(answers: Answers) -> dict[Path, str]:
    return {_secret_file(answers.base_dir, setting): text for setting, text in answers.secrets.items()}


def _secret_file(base_dir: Path, setting: Setting) -> Path:
    return base_dir / "secrets_secure" / "__".join(setting)


def _print(answers: Answers, text: str) -> None:
    click.echo(text, nl=False)
    for file in _secret_files(answers):
        click.echo(f"not written: {file}; make it with mode 0600", err=True)


def _write(answers: Answers, file: Path, text: str, *, force: bool, dry_run: bool) -> None:
    from exporter.commandline.output import writing
    from exporter.init.files import Taken, check_free, write_all

    secrets = _secret_files(answers)
    try:
        if dry_run:
            check_free({**secrets, file: text}, force=force)
            for path in (*secrets, file):
                click.echo(f"would write: {path}")
            return
        with writing(file):
            done = write_all(file, text, secrets, answers.base_dir, SystemClock().now(), force=force)
    except Taken as taken:
        raise _is_taken(taken.path) from None
    for written in done:
        kept = f" (the one before is kept as {written.backup})" if written.backup else ""
        click.echo(f"{'written' if written.changed else 'unchanged'}: {written.path}{kept}")
    _say_what_next(answers.base_dir, file)


def _say_what_next(base_dir: Path, file: Path) -> None:
    """The next two commands; the file need not be named where it is looked for anyway."""
    looked_at = Path(os.environ.get("SUTAZAI_BASE_DIR") or _USUAL_BASE).absolute() / "config" / "exporter.yml"
    found_anyway = file == looked_at and "SUTAZAI_CONFIG_FILE" not in os.environ
    option = "" if found_anyway else f" --config.file {quote(str(file))}"
    variable = os.environ.get("SUTAZAI_BASE_DIR")
    if variable and Path(variable).absolute() != base_dir:
        click.echo(f"SUTAZAI_BASE_DIR is set to {variable} and stands above this file: unset it", err=True)
    click.echo(f"next: sutazai-exporter doctor{option}")
    click.echo(f"then: sutazai-exporter serve{option}")
