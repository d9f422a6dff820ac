"""The command `serve`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.commandline.options import config_option
from exporter.config import Configuration, load
from exporter.failure import EXIT_UNAVAILABLE, Failure

_SETTINGS: dict[str, tuple[str, ...]] = {
    "listen_address": ("web", "listen_address"),
    "telemetry_path": ("web", "telemetry_path"),
    "web_config_file": ("web", "config_file"),
    "log_level": ("log", "level"),
    "log_format": ("log", "format"),
}


@click.command()
@config_option
@click.option("--web.listen-address", "listen_address", metavar="HOST:PORT", help="Address to serve on.")
@click.option("--web.telemetry-path", "telemetry_path", metavar="PATH", help="Path of the metrics.")
@click.option(
    "--web.config.file", "web_config_file", metavar="FILE", help="Web configuration file: TLS, users, headers."
)
@click.option("--log.level", "log_level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log.format", "log_format", type=click.Choice(["logfmt", "json"]))
def serve(config_file: Path | None, **given: str | None) -> None:
    """Run the daemon: schedule, Docker events, /metrics.

    SIGHUP or POST /-/reload loads the configuration anew; SIGTERM ends it after its runs.

    \b
    Examples:
      sutazai-exporter serve
      sutazai-exporter serve --web.listen-address 127.0.0.1:10043 --log.level debug
      sutazai-exporter serve --web.config.file /etc/sutazai/web.yml
    """
    from exporter.serving import serve as serve_until_told
    from exporter.web.connections.listening import Unavailable

    given["web_config_file"] = given["web_config_file"] or None  # exporters take an empty one for none
    flags = {_SETTINGS[name]: value for name, value in given.items()}

    def configuration() -> Configuration:
        return load(config_file, flags=flags)

    try:
        serve_until_told(configuration(), configuration)
    except Unavailable as error:
        raise Failure(str(error), EXIT_UNAVAILABLE) from None
