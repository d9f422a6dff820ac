"""The command `check-config`: whether the configuration is good."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.commandline.options import config_option


@click.command("check-config")
@config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration: every error at once, exit code 78 if there is one.

    \b
    Examples:
      sutazai-exporter check-config
      sutazai-exporter check-config --config.file exporter.yml
    """
    from exporter.config import load

    configuration = load(config_file)
    if web_file := configuration.settings.web.config_file:
        from exporter.web.web_config.loading import Files, read_web_config

        for warning in read_web_config(web_file, Files()).warnings:
            click.echo(f"sutazai-exporter: warning: {warning}", err=True)
    origins = sorted(set(configuration.origins.values()))
    click.echo(f"The configuration is good. It comes from {', '.join(['defaults', *origins])}.")
