"""What there is to know by heart: every metric and every setting, as the documentation prints them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic_core import to_jsonable_python
from rich.markup import escape

from exporter.commandline.console import out, print_json, print_whole, table_of
from exporter.metrics import catalogue
from exporter.settings import GUIDE_VARIABLES, PREFIX, leaf_fields

_LIMITS = {
    Ge: lambda limit: f"at least {limit.ge}",
    Gt: lambda limit: f"more than {limit.gt}",
    Le: lambda limit: f"at most {limit.le}",
    MinLen: lambda limit: f"at least {limit.min_length} long",
    MaxLen: lambda limit: f"at most {limit.max_length} long",
}


def print_catalogue(form: str) -> None:
    """Every metric family, as `table`, `markdown` or `json`."""
    families = sorted(catalogue(), key=lambda family: family.name)
    if form == "json":
        print_json([family.model_dump(mode="json") for family in families])
        return
    if form == "markdown":
        print_markdown(
            ("name", "type", "labels", "meaning"),
            ((f"`{f.name}`", f.type, ", ".join(f"`{label}`" for label in f.labels), f.help) for f in families),
        )
        return
    table = table_of("name", "type", "labels", "meaning", wraps=("labels", "meaning"))
    for family in families:
        table.add_row(family.name, family.type, ", ".join(family.labels), escape(family.help))
    print_whole(table)


def print_settings() -> None:
    """Every setting as Markdown, with its limits, default and variables."""
    print_markdown(("setting", "default", "variable", "meaning"), _setting_rows())


def _setting_rows() -> Iterator[tuple[str, ...]]:
    guide_names = {path: name for name, path in GUIDE_VARIABLES.items()}
    for path, info in leaf_fields():
        variables = [PREFIX + "__".join(path).upper(), *filter(None, [guide_names.get(path)])]
        default = info.get_default(call_default_factory=True)
        limits = ", ".join(text for limit in info.metadata if (text := _limit(limit)))
        yield (
            f"`{'.'.join(path)}`",
            "" if default is None else f"`{json.dumps(to_jsonable_python(default))}`",
            "<br>".join(f"`{name}`" for name in variables),
            f"{info.description} {f'({limits})' if limits else ''}".strip(),
        )


def _limit(metadata: Any) -> str:
    describe = _LIMITS.get(type(metadata))
    return describe(metadata) if describe else ""


def print_markdown(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Print a table in Markdown."""
    for cells in (columns, ("---",) * len(columns), *rows):
        out.print("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |", markup=False)
