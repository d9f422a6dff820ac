"""`sutazai-exporter alertmanager-config`: the configuration of Alertmanager, from the settings."""

from __future__ import annotations

import os
from pathlib import Path

import click

from exporter.clock import local_zone
from exporter.commandline.options import config_option, output_option
from exporter.commandline.output import Output, Owner, bring_up_to_date, writing
from exporter.failure import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure

SECRETS = "sutazai-secrets"
"""The directory, within that of the output, of the secrets that --secrets-for writes."""


@click.command("alertmanager-config")
@config_option
@output_option("alertmanager.yml and templates/sutazai.tmpl to. [default: alertmanager.yml to standard output]")
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
    from exporter.alertmanager.quiet_hours import location
    from exporter.alertmanager.receivers import Inexpressible, urls_with_keys
    from exporter.alertmanager.remarks import remarks
    from exporter.alertmanager.rendering import CONFIG, rendered
    from exporter.alertmanager.secret_files import SecretFiles
    from exporter.bridge.outgoing.wording import host_name
    from exporter.config import load

    if user is not None and directory is None:
        raise Failure("--secrets-for writes files: it needs --output DIR", EXIT_USAGE)
    owner = None if user is None else _owner(user)
    configuration = load(config_file)
    secrets = SecretFiles(configuration, os.environ, directory.absolute() / SECRETS if directory and owner else None)
    try:
        files = rendered(configuration.settings, secrets, host=host_name(), zone=location(local_zone()))
    except Inexpressible as error:
        raise Failure(str(error), EXIT_CONFIG) from None
    for remark in remarks(configuration.settings, secrets):
        click.echo(f"sutazai-exporter: {remark}", err=True)
    if directory is None:
        click.echo(files[CONFIG], nl=False)
    else:
        _spare_what_is_not_ours(directory / CONFIG)
        outputs = [Output(secret.file, secret.content, owner) for secret in secrets.to_write()]
        readers = {CONFIG: owner} if urls_with_keys(configuration.settings) else {}
        # The configuration comes last: it names the others.
        outputs += [
            Output(directory / name, files[name].encode(), readers.get(name)) for name in sorted(files, reverse=True)
        ]
        bring_up_to_date(outputs, dry_run=dry_run)


def _owner(user: str) -> Owner:
    """The ids of a user and its group."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise Failure(f"--secrets-for: there is no user {user!r} on this machine", EXIT_USAGE) from None
    return entry.pw_uid, entry.pw_gid


def _spare_what_is_not_ours(file: Path) -> None:
    """Refuse to replace a configuration that a person has written."""
    from exporter.alertmanager.rendering import FIRST_LINE

    with writing(file):
        ours = not file.exists() or file.read_bytes().startswith(FIRST_LINE.encode())
    if not ours:
        raise Failure(
            f"{file}: was not written by this command: move it away, or choose another --output", EXIT_UNAVAILABLE
        )
