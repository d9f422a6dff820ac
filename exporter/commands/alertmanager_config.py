"""`sutazai-exporter alertmanager-config`: the configuration of Alertmanager, from the settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commands.base import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure, config_option
from exporter.config import load

if TYPE_CHECKING:
    from exporter.alertmanager.secret_files import SecretFile

SECRETS = "sutazai-secrets"
"""The directory, within that of the output, of the secrets that --secrets-for writes."""
_READABLE = 0o644
"""Alertmanager runs as a user of its own, and there are no secrets in its configuration."""

Owner = tuple[int, int]


@click.command("alertmanager-config")
@config_option
@click.option(
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory to write alertmanager.yml and templates/sutazai.tmpl to. "
    "[default: alertmanager.yml to standard output]",
)
@click.option(
    "--secrets-for",
    "user",
    metavar="USER",
    help="Also write passwords and tokens, to files in --output that only USER can read (Alertmanager's user).",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written to --output, and write nothing.")
def alertmanager_config(config_file: Path | None, directory: Path | None, user: str | None, dry_run: bool) -> None:
    """Write the configuration of an Alertmanager: mail, webhook, bridge, routes and templates.

    \b
    Examples:
      sutazai-exporter alertmanager-config
      sutazai-exporter alertmanager-config --output /etc/prometheus --secrets-for prometheus
      amtool check-config /etc/prometheus/alertmanager.yml
    """
    from exporter.alertmanager.quiet_hours import zone_name
    from exporter.alertmanager.receivers import Inexpressible
    from exporter.alertmanager.remarks import remarks
    from exporter.alertmanager.rendering import CONFIG, rendered
    from exporter.alertmanager.secret_files import SecretFiles
    from exporter.bridge.outgoing.wording import host_name

    if user is not None and directory is None:
        raise Failure("--secrets-for writes files: it needs --output DIR", EXIT_USAGE)
    owner = None if user is None else _owner(user)
    configuration = load(config_file)
    secrets = SecretFiles(configuration, os.environ, directory.absolute() / SECRETS if directory and owner else None)
    try:
        files = rendered(configuration.settings, secrets, host=host_name(), zone=zone_name(os.environ))
    except Inexpressible as error:
        raise Failure(str(error), EXIT_CONFIG) from None
    for remark in remarks(configuration.settings, secrets):
        click.echo(f"sutazai-exporter: {remark}", err=True)
    if directory is None:
        click.echo(files[CONFIG], nl=False)
    else:
        _write(directory, files, secrets.to_write(), owner, dry_run=dry_run)


def _owner(user: str) -> Owner:
    """The ids of a user and its group."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise Failure(f"--secrets-for: there is no user {user!r} on this machine", EXIT_USAGE) from None
    return entry.pw_uid, entry.pw_gid


def _write(
    directory: Path, files: Mapping[str, str], secrets: list[SecretFile], owner: Owner | None, *, dry_run: bool
) -> None:
    """Write the secrets, the templates, and last the configuration that names them; say what became of each."""
    parts = [(secret.file, secret.content, owner) for secret in secrets]
    parts += [(directory / name, files[name].encode(), None) for name in sorted(files, reverse=True)]
    try:
        _spare_what_is_not_ours(directory)
        for path, content, whose in parts:
            state = _state(path, content, whose)
            if state != "unchanged" and not dry_run:
                _write_file(path, content, whose)
            click.echo(f"{'would be ' if dry_run and state != 'unchanged' else ''}{state}: {path}")
    except OSError as error:
        reason = f"{error.filename or directory}: cannot be written: {error.strerror}"
        raise Failure(f"{reason}; choose another --output, or mend that", EXIT_UNAVAILABLE) from None


def _spare_what_is_not_ours(directory: Path) -> None:
    """Refuse to replace a configuration that a person has written."""
    from exporter.alertmanager.rendering import CONFIG, FIRST_LINE

    file = directory / CONFIG
    if file.exists() and not file.read_bytes().startswith(FIRST_LINE.encode()):
        raise Failure(
            f"{file}: was not written by this command: move it away, or choose another --output", EXIT_UNAVAILABLE
        )


def _state(path: Path, content: bytes, owner: Owner | None) -> str:
    """What has to become of a file: `made`, `changed` or nothing (`unchanged`); raise OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "made"
    mode, whose = (0o600, owner) if owner else (_READABLE, (status.st_uid, status.st_gid))
    as_it_should_be = (stat.S_IFREG | mode, whose) == (status.st_mode, (status.st_uid, status.st_gid))
    return "unchanged" if as_it_should_be and path.read_bytes() == content else "changed"


def _write_file(path: Path, content: bytes, owner: Owner | None) -> None:
    """Write a file: for everybody, or for one user alone, whose it is before there is anything in it."""
    from jobs.core.files import atomic_stream, atomic_write

    _make_passable(path.parent)
    if owner is None:
        atomic_write(path, content, mode=_READABLE)
        return
    with atomic_stream(path, mode=0o600) as file:
        try:
            os.fchown(file.fileno(), *owner)
        except PermissionError:
            raise Failure(
                f"{path}: only root can give it to another user: run this as root", EXIT_UNAVAILABLE
            ) from None
        file.write(content)


def _make_passable(directory: Path) -> None:
    """Make a directory, where there is none, that others can enter, whatever the caller's umask."""
    if not directory.is_dir():
        _make_passable(directory.parent)
        directory.mkdir()
        directory.chmod(0o755)
