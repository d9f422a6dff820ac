"""A job is a value: its name, when it runs, what it can be told, what it exports and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.core.cadence import Cadence
from jobs.core.model import Family, Request, Result, Severity
from jobs.core.settings import JobSettings
from jobs.core.sight import Sight

if TYPE_CHECKING:
    from jobs.clients import Clients


@dataclass(frozen=True)
class ReportFiles:
    """Where a job's report goes, relative to the base directory.

    A report is `DIRECTORY/STEM_TIMESTAMP.json`, the newest is linked as `LINK`, and where `log_stem` is
    set the log of the run stands in `logs/LOG_STEM_TIMESTAMP.log`. A `{mode}` in the stem stands for the run's mode.
    `renderings` are the suffixes of the other forms in which the report may be written beside it (`.html`).
    """

    directory: str
    stem: str
    link: str
    log_stem: str = ""
    renderings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """An option that a job brings to `run`: it chooses the mode, sets one of the job's settings for this run, or mails.

    With a `mode` or a `value` it stands alone (`--force`); otherwise it takes a value, which is one of `modes`
    (`--period weekly`), what `setting` is set to (`--max-restarts 5`), or with `mails` the address that is told what
    came of the run. `setting` is a key below the job's own section, and what it is set to is checked as in the
    configuration.
    """

    name: str
    help: str
    mode: str = ""
    modes: tuple[str, ...] = ()
    setting: str = ""
    value: Any = None
    mails: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether a value follows it."""
        return not self.mode and self.value is None


@dataclass(frozen=True)
class Job:
    """One kind of work.

    `run` gets the job's settings, the clients of the world and the request, and returns a Result; it may
    raise `JobError` for what it can explain. `modes` are its scopes, the first is the default of a run
    that nobody narrowed. `score_name` is the score it gives, if it gives one. `wakes_on` names the Docker
    events that ask for a run of their container. `event` is what its problems are called where they are told
    (`health`), and `tells_from` the least severity of a finding that is worth telling. `sight` says what its runs look
    at, and when they could not: nothing else is ever told as over. `takes_target` says whether a run can be narrowed
    to one thing, and `needs_target` names the modes that are always about one. `flags` are options of its own for
    `run`, `mode_notes` say in a few words what each mode does, and `verdicts` what each exit code means.
    """

    name: str
    summary: str
    cadences: tuple[Cadence, ...]
    settings: type[JobSettings]
    run: Callable[[Any, Clients, Request], Result]
    metrics: tuple[Family, ...] = ()
    modes: tuple[str, ...] = ("full",)
    report: ReportFiles | None = None
    score_name: str = ""
    wakes_on: tuple[str, ...] = ()
    event: str = "task"
    tells_from: Severity = Severity.HIGH
    sight: Sight = field(default_factory=Sight)
    takes_target: bool = False
    needs_target: tuple[str, ...] = ()
    per_node: bool = True
    flags: tuple[Flag, ...] = ()
    mode_notes: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[int, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The job's name as a settings key and module name (`health_check`)."""
        return self.name.replace("-", "_")


class JobError(Exception):
    """A job could not do its work; the message is one line that names the thing, the reason and the remedy."""
