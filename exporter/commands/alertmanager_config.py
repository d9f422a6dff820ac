"""`sutazai-exporter alertmanager-config`: the configuration of Alertmanager, from the settings."""

from __future__ import annotations

import os
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


@click.command("alertmanager-config")
@config_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("alertmanager"),
    show_default=True,
    help="Directory to write alertmanager.yml and templates/sutazai.tmpl to.",
)
@click.option(
    "--secrets-for",
    "user",
    metavar="USER",
    help="Also write passwords and tokens, to files that only USER can read (Alertmanager's user).",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing.")
def alertmanager_config(config_file: Path | None, output: Path, user: str | None, dry_run: bool) -> None:
    """Write the configuration of an Alertmanager: mail, webhook, bridge, routes and templates.

    \b
    Examples:
      sutazai-exporter alertmanager-config --dry-run
      sutazai-exporter alertmanager-config --output /etc/prometheus --secrets-for prometheus
      amtool check-config /etc/prometheus/alertmanager.yml
    """
    import socket

    from exporter.alertmanager.quiet_hours import zone_name
    from exporter.alertmanager.receivers import Inexpressible
    from exporter.alertmanager.remarks import remarks
    from exporter.alertmanager.rendering import rendered
    from exporter.alertmanager.secret_files import SecretFiles

    configuration = load(config_file)
    owner = _owner(user) if user is not None else None
    directory = output.absolute() / SECRETS if owner else None
    secrets = SecretFiles(configuration, os.environ, directory)
    try:
        files = rendered(configuration.settings, secrets, host=socket.gethostname(), zone=zone_name(os.environ))
    except Inexpressible as error:
        raise Failure(str(error), EXIT_CONFIG) from None
    for remark in remarks(configuration.settings, secrets):
        click.echo(f"sutazai-exporter: {remark}", err=True)
    if dry_run:
        _print(output, files, secrets.to_write())
    else:
        _write(output, files, secrets.to_write(), owner)


def _owner(user: str) -> tuple[int, int]:
    """The ids of a user and its group."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise Failure(f"--secrets-for: there is no user {user!r} on this machine", EXIT_USAGE) from None
    return entry.pw_uid, entry.pw_gid


def _print(output: Path, files: Mapping[str, str], secrets: list[SecretFile]) -> None:
    for secret in secrets:
        click.echo(f"# would write {secret.file}: {secret.setting}")
    for name, content in files.items():
        click.echo(f"# would write {output / name}:\n{content}")


def _write(output: Path, files: Mapping[str, str], secrets: list[SecretFile], owner: tuple[int, int] | None) -> None:
    """Write the secrets, the templates, and last the configuration that names them."""
    from jobs.core.files import atomic_write

    try:
        _keep_what_is_not_ours(output)
        for secret in secrets:
            _write_secret(secret, owner)
        for name in sorted(files, reverse=True):
            atomic_write(output / name, files[name].encode(), mode=0o644)
            click.echo(f"wrote {output / name}")
    except OSError as error:
        raise Failure(f"{error.filename or output}: cannot be written: {error.strerror}", EXIT_UNAVAILABLE) from None


def _keep_what_is_not_ours(output: Path) -> None:
    """Refuse to replace a configuration that a person has written."""
    from exporter.alertmanager.rendering import CONFIG, FIRST_LINE

    file = output / CONFIG
    if file.exists() and not file.read_bytes().startswith(FIRST_LINE.encode()):
        raise Failure(
            f"{file}: was not written by this command: move it away, or choose another directory with --output",
            EXIT_UNAVAILABLE,
        )


def _write_secret(secret: SecretFile, owner: tuple[int, int] | None) -> None:
    from jobs.core.files import atomic_stream

    with atomic_stream(secret.file, mode=0o600) as file:
        if owner:
            try:
                os.fchown(file.fileno(), *owner)
            except PermissionError:
                raise Failure(f"{secret.file}: only root can give it to another user", EXIT_UNAVAILABLE) from None
        if secret.value:
            file.write(secret.value.get_secret_value().encode())
    click.echo(f"wrote {secret.file}")
