"""Templates and settings become rule files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from exporter.rules.durations import duration, spoken, window
from exporter.rules.facts import facts
from exporter.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".rules.yml"


def rendered(settings: Settings) -> dict[str, str]:
    """The rule files for these settings: the text of each by its name (`sutazai-agents.rules.yml`).

    Only numbers and cadences get into them, so that there is nothing to quote.
    """
    environment, known = _environment(), facts(settings)
    names = sorted(path.name for path in TEMPLATES.glob(f"*{SUFFIX}"))
    return {name: environment.get_template(name).render(known) for name in names}


def in_one(files: Mapping[str, str]) -> str:
    """All of the files as one."""
    first, *others = files.values()
    return "\n".join([first, *(text.replace("groups:\n", "", 1) for text in others)])


def _environment() -> Environment:
    """Brackets, as Prometheus's own templates are in braces. Nothing is escaped: this is YAML, not HTML."""
    environment = Environment(
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        finalize=_written,
        loader=FileSystemLoader(TEMPLATES),
    )
    environment.filters.update(duration=duration, spoken=spoken, window=window, ratio=_ratio, percent=_percent)
    return environment


def _ratio(percent: float) -> float:
    return percent / 100


def _percent(ratio: float) -> float:
    return ratio * 100


def _written(value: object) -> object:
    """A number as short as it can be said, without an exponent where it is whole: 0.8, 30, 256000000."""
    if not isinstance(value, float):
        return value
    return str(int(value)) if value == int(value) else f"{value:.12g}"
