"""Settings into the files of an Alertmanager, 0.25 or newer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter.alertmanager.inhibition import inhibit_rules
from exporter.alertmanager.quiet_hours import time_intervals
from exporter.alertmanager.receivers import delivered, receivers, smtp, urls_with_keys
from exporter.alertmanager.routing import QUIET_HOURS, route
from exporter.alertmanager.secret_files import SecretFiles
from exporter.bridge.outgoing.channels import MAIL
from exporter.settings import Settings

CONFIG, TEMPLATE = "alertmanager.yml", "templates/sutazai.tmpl"
"""The two files, by their paths in the output directory."""

_BUNDLED = Path(__file__).parent / TEMPLATE
FIRST_LINE = "# Written by `sutazai-exporter alertmanager-config` for Alertmanager 0.25 or newer.\n"
"""What a configuration begins with that may be replaced."""

_HEAD = f"""\
{FIRST_LINE}# Change the exporter's settings and write it anew: docs/alertmanager.md says which.
"""
_SECRETS = """\
# It holds no secret: each stands in a file of its own, which Alertmanager's user must be able to read.
"""
_KEYS = """\
# Keep it from others: a URL in it seems to have a key. Other secrets stand in files, for Alertmanager's user to read.
"""
_COMMENTS = {
    "global": "How mail is sent.",
    "templates": "What mail looks like. Paths are relative to this file; what is defined later counts.",
    "time_intervals": "Hours in which only what is critical is sent; the rest waits until they are over.",
    "route": "Every alert goes to the bridge, in a request of its own, and on to people by its severity.",
    "inhibit_rules": "What explains an alert keeps it quiet. A label that both lack is equal: sources must have it.",
    "receivers": "",
}


def rendered(settings: Settings, secrets: SecretFiles, *, host: str, zone: str) -> dict[str, str]:
    """The content of each file by its path in the output directory; raise Inexpressible.

    `host` is what this machine is called in mail, `zone` the time zone of the quiet hours.
    """
    sections = dict(_sections(settings, secrets, host, zone))
    head = _HEAD + (_KEYS if urls_with_keys(settings) else _SECRETS)
    return {CONFIG: head + "".join(_section(*item) for item in sections.items()), TEMPLATE: _BUNDLED.read_text()}


def _sections(settings: Settings, secrets: SecretFiles, host: str, zone: str) -> Iterator[tuple[str, Any]]:
    told, manager = settings.notifications, settings.alertmanager
    if MAIL in delivered(settings):
        yield "global", smtp(told.mail, secrets, host)
    yield "templates", [TEMPLATE, *([f"{manager.templates}/*.tmpl"] if manager.templates else [])]
    if told.quiet_hours:
        intervals = [interval for hours in told.quiet_hours for interval in time_intervals(hours, zone)]
        yield "time_intervals", [{"name": QUIET_HOURS, "time_intervals": intervals}]
    yield "route", route(manager.critical, manager.other, quiet=bool(told.quiet_hours))
    yield "inhibit_rules", inhibit_rules()
    yield "receivers", receivers(settings, secrets)


def _section(name: str, content: Any) -> str:
    comment = f"# {_COMMENTS[name]}\n" if _COMMENTS[name] else ""
    return f"\n{comment}{yaml.dump({name: content}, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)}"


class _Dumper(yaml.SafeDumper):
    """Writes lists below their key with an indent, and a value that is there twice twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True
