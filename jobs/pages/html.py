"""A page as one HTML file: no script, nothing from elsewhere, and a policy that lets it fetch and run nothing."""

from __future__ import annotations

from importlib.metadata import version
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobs.pages import behind, charts, moments, sheet
from jobs.pages.page import BarChart, Block, LineChart, Page, Tone
from jobs.pages.texts import visible

GENERATOR = "sutazai-exporter"
_SIGNS = {Tone.PLAIN: "", Tone.GOOD: "✓", Tone.WARNING: "!", Tone.CRITICAL: "✕", Tone.UNKNOWN: "?"}


def render(page: Page) -> str:
    """The whole file. Whatever the texts hold is shown and nothing else; ValueError names a unit that is none."""
    environment = _environment(PackageLoader("jobs.pages"))
    return environment.get_template("report.html.j2").render(
        page=page,
        # Ours, from the package: not one character of it comes from a page.
        style=Markup(sheet.style()),  # noqa: S704
        style_hash=sheet.style_hash(),
        generator=f"{GENERATOR} {version(GENERATOR)}",
    )


def _environment(loader: PackageLoader) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        kind=lambda block: type(block).__name__,
        groups=_groups,
        drawing=_drawing,
        table_behind=behind.table,
        in_short=behind.in_short,
        sign=_SIGNS.__getitem__,
        moment=moments.text,
        machine=moments.machine,
        zone=moments.zone,
        dash=lambda number: number % len(charts.DASHES) + 1,
        colour=lambda number: number % charts.COLOURS + 1,
        points=lambda value: f"{value:.1f}".removesuffix(".0").replace("-", "\N{MINUS SIGN}"),
    )
    return environment


def _finalize(value: object) -> object:
    """What becomes of each value that the template shows, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawing(chart: LineChart | BarChart) -> Markup:
    # By an XML library, of numbers and escaped texts alone: see `charts`.
    return Markup(charts.drawing(chart))  # noqa: S704


def _groups(blocks: tuple[Block, ...]) -> list[tuple[bool, list[Block]]]:
    """Blocks that follow each other, and whether they are charts, which stand side by side."""
    grouped = groupby(blocks, lambda block: isinstance(block, LineChart | BarChart))
    return [(are_charts, list(group)) for are_charts, group in grouped]
