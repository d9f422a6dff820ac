"""The values that travel the one route: a Request goes into a run, a Result comes out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobs.core.severity import Severity as Severity  # a value like the others, for all who need more than it

MAX_TEXT = 4096
MAX_LABEL = 256
MAX_DOCUMENT_TEXT = 1 << 16
"""Characters of one text within a document."""
MAX_RENDERING = 16 << 20
"""Characters of a report in another form, which is one text."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What commands a terminal, but for tabs and line ends; and what turns the order of the letters around."""


def clean_text(text: Any, limit: int = MAX_TEXT) -> Any:
    """Text that any encoder accepts: lone surrogates (from file names that are not UTF-8) become U+FFFD,

    and what is longer than `limit` characters is cut. Anything but text is left for validation to judge.
    """
    if not isinstance(text, str):
        return text
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_message(text: Any) -> Any:
    """Clean text for people: without what commands a terminal or reorders letters, but for line ends."""
    # Nearly all text is: whoever reads thousands of findings from the store would wait for this most of all.
    if isinstance(text, str) and len(text) <= MAX_TEXT and text.isascii() and text.isprintable():
        return text
    cleaned = clean_text(text)
    return CONTROL.sub("\ufffd", cleaned) if isinstance(cleaned, str) else cleaned


def clean_document(value: Any, max_text: int = MAX_DOCUMENT_TEXT) -> Any:
    """A JSON-like value in which every text is clean, and no longer than `max_text` characters."""
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_document(inner, max_text) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean_document(inner, max_text) for inner in value]
    return clean_text(value, max_text)


FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(clean_message)]
LabelValue = Annotated[str, BeforeValidator(lambda text: clean_text(text, MAX_LABEL))]
Document = Annotated[Mapping[str, Any], BeforeValidator(lambda value: clean_document(value))]
Rendering = Annotated[str, BeforeValidator(lambda text: clean_text(text, MAX_RENDERING))]


class Value(BaseModel):
    """A frozen value that crosses process borders as JSON; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Trigger(StrEnum):
    """Who asked for a run."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    START = "start"
    FOLLOW_UP = "follow-up"
    EVENT = "event"
    API = "api"
    COMMAND = "command"
    ALERT = "alert"


class Outcome(StrEnum):
    """Whether the job itself worked; what it found about the system is in its findings."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    SKIPPED = "skipped"


class Request(Value):
    """What is to be run. `target` narrows a run to one thing (an agent's name); empty means everything."""

    task: str
    mode: str = ""
    target: str = ""
    trigger: Trigger = Trigger.COMMAND
    dry_run: bool = False
    reason: str = ""


class Finding(Value):
    """Something about the system that a person should know, with the remedy where there is one.

    `subject` names the thing (`agent/orchestrator`), `kind` what is wrong with it (`quarantined`):
    together they identify the finding from run to run.
    """

    kind: Text
    subject: Text
    severity: Severity
    message: Text
    remedy: Text = ""


class Action(Value):
    """A change that was made, or with `--dry-run` would be made."""

    verb: Text
    subject: Text
    detail: Text = ""
    done: bool


class Deduction(Value):
    """Points taken off a score, under a short stable reason (`postgres_down`)."""

    points: FiniteFloat
    reason: Text


class Sample(Value):
    """One metric value. For a counter family the value is an increment (0 makes the series exist)."""

    family: str
    value: FiniteFloat
    labels: Mapping[str, LabelValue] = {}


class Observation(Value):
    """One value worth remembering between runs, under a stable series name (`agent_up/orchestrator`)."""

    series: Text
    value: FiniteFloat


class Result(Value):
    """What a job found and did.

    `status` is the job's word for it (`HEALTHY`), `verdict` its exit code (0 good, 1-4 as the job documents).
    `scope` names the labels that this run was narrowed to: only series with these labels are replaced by
    `samples`; an empty scope replaces everything the job exported before. `run_again_seconds` asks for
    another run of the same target after that time. `renderings` are other forms of the report, by the suffix of their
    files (`.html`); they go to disk only, the ledger does not keep them.
    """

    status: Text
    verdict: int = Field(default=0, ge=0, le=4)
    summary: Text = ""
    score: FiniteFloat | None = None
    deductions: tuple[Deduction, ...] = ()
    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()
    samples: tuple[Sample, ...] = ()
    observations: tuple[Observation, ...] = ()
    scope: Mapping[str, LabelValue] = {}
    report: Document | None = None
    renderings: Mapping[str, Rendering] = {}
    run_again_seconds: Annotated[float, Field(ge=0)] | None = None


class MetricType(StrEnum):
    """The metric types of the exposition formats that this project uses."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Family(Value):
    """A metric family of the catalogue: its full name (counters end in `_total`), help text and label names."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    type: MetricType = MetricType.GAUGE
