"""What is known of a run once it is over."""

from __future__ import annotations

from datetime import datetime

from jobs.core.model import FiniteFloat, Outcome, Request, Result, Text, Value

EXIT_NOT_OK = 4
CUT_OFF = "cut off: "
"""How the error of a run begins whose process ended before it did."""
STOPPED_WITH_US = "stopped with the exporter"
"""How the error of a run begins that was ended because the exporter was."""
EXIT_SKIPPED = 75
"""EX_TEMPFAIL of sysexits.h: another process had the slot or the task; nothing was done here."""


class Record(Value):
    """A run that is over: what was asked, whether it worked, when, how long, and what came of it.

    `duration_seconds` is monotonic time. `error` is one line, empty when the outcome is ok. `report` is the
    report's path relative to the base directory.
    """

    run_id: int
    request: Request
    outcome: Outcome
    started: datetime
    finished: datetime
    duration_seconds: FiniteFloat
    error: Text = ""
    result: Result | None = None
    report: str = ""

    @property
    def exit_code(self) -> int:
        """The job's verdict, 4 when it did not work, 75 when it was skipped."""
        if self.outcome is Outcome.OK and self.result is not None:
            return self.result.verdict
        return EXIT_SKIPPED if self.outcome is Outcome.SKIPPED else EXIT_NOT_OK

    @property
    def is_cut_short(self) -> bool:
        """Whether the exporter's end was the run's as well, so that it is nobody's wish and no fault of its own."""
        stopped = self.outcome is Outcome.STOPPED and self.error.startswith(STOPPED_WITH_US)
        return stopped or self.error.startswith(CUT_OFF)
