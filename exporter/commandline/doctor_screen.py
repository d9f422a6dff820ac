"""How the doctor tells: a table with the worst at its end, where the eye is, and one sentence; or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from exporter import __version__
from exporter.commandline.console import out, print_json, print_whole, said, styled, table_of
from exporter.doctor.diagnosis import State
from exporter.doctor.examination import Entry

_STYLES = {
    State.GOOD: "green",
    State.NOT_CONFIGURED: "dim",
    State.UNKNOWN: "yellow",
    State.MISSING: "yellow",
    State.BROKEN: "red",
}


def print_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print what was found. In JSON the entries keep the order of the checks."""
    if as_json:
        checks = [
            {"name": one.name, "state": one.state, "detail": one.detail, "remedy": one.remedy, "to_do": one.to_do}
            for one in entries
        ]
        to_do = sum(one.to_do for one in entries)
        print_json({"version": __version__, "to_do": to_do, "summary": sentence(entries), "checks": checks})
        return
    what = "what was seen → what to do"
    table = table_of("check", "state", what, wraps=(what,))
    for one in sorted(entries, key=lambda one: list(State).index(one.state)):
        remedy = f" → {one.remedy}" if one.remedy else ""
        table.add_row(said(one.name), styled(one.state, _STYLES[one.state]), said(one.detail + remedy))
    print_whole(table)
    out.print(said(sentence(entries)))


def sentence(entries: Sequence[Entry]) -> str:
    """What it all amounts to."""
    counts = {state: sum(entry.state is state for entry in entries) for state in reversed(State)}
    to_do = [entry for entry in entries if entry.to_do]
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    if not to_do:
        return f"Nothing to do: {told}."
    worst = max(to_do, key=lambda entry: list(State).index(entry.state))
    return f"{len(to_do)} {'thing' if len(to_do) == 1 else 'things'} to do ({told}); begin with {worst.name}."
