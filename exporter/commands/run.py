"""The command `run`: one task, once, now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.commandline.options import Group, config_option, dry_run_option, json_option, seconds_option
from jobs.core.registry import all_jobs, job_names, load_job

if TYPE_CHECKING:
    from jobs.core.job import Job

_WAIT = "Time to wait for another run of the task to end."
_EXIT_CODES = {
    4: "the run did not work: it failed, took too long or was stopped",
    64: "wrong usage",
    69: "something needed cannot be used",
    75: "somebody else is running it, or no slot is due",
    78: "wrong configuration",
    130: "Ctrl-C",
}


class Task(click.Command):
    """A task, with the flags that its job brings."""

    def __init__(self, job: Job) -> None:
        from exporter.commandline.job_flags import options_of

        self.job = job
        super().__init__(
            job.name,
            callback=_carry_out,
            params=[*options_of(job), *_common_options(job)],
            help=f"{job.summary}.\n\n\b\nExamples:\n{_examples(job)}",
            short_help=job.summary,
        )

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Parse; raise click.UsageError, which says whose flag it is where it is that of another task."""
        try:
            return super().parse_args(context, arguments)
        except click.NoSuchOption as error:
            whose = [name for name, job in all_jobs().items() if error.option_name in {flag.name for flag in job.flags}]
            if not whose:
                raise
            message = f"{self.job.name} has no option {error.option_name!r}; {', '.join(whose)} has"
            raise click.UsageError(message, context) from None

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, the modes, the schedule and the exit codes."""
        job = self.job
        flags = {f"--{flag.name.lstrip('-')}" for flag in job.flags}
        records = [
            (option, record) for option in self.get_params(context) if (record := option.get_help_record(context))
        ]
        for title, own in (("Options of this task", True), ("Options of every task", False)):
            rows = [record for option, record in records if bool(flags & set(option.opts)) is own]
            _write(formatter, title, rows)
        default = job.modes[0]
        notes = [(mode + (" (default)" if mode == default else ""), job.mode_notes.get(mode, "")) for mode in job.modes]
        _write(formatter, "Modes", notes)
        _write(formatter, "Runs by itself, unless jobs.*.schedule says otherwise", [(str(c), "") for c in job.cadences])
        _write(formatter, "Exit codes", [(str(code), text) for code, text in {**job.verdicts, **_EXIT_CODES}.items()])


class Tasks(Group):
    """Every job as a command. Options may stand before the task's name as well."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Every task's name."""
        return list(job_names())

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The task of a name."""
        return Task(load_job(name)) if name in job_names() else None

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Find the task among the arguments; raise click.UsageError where there is none."""
        place = next((place for place, word in enumerate(arguments) if word in job_names()), None)
        if place is not None:
            arguments = [arguments[place], *arguments[:place], *arguments[place + 1 :]]
        elif not context.resilient_parsing and not {"-h", "--help"} & set(arguments):
            self._refuse(context, [word for word in arguments if not word.startswith("-")])
        return super().parse_args(context, arguments)

    def _refuse(self, context: click.Context, words: Iterable[str]) -> None:
        from exporter.commandline.arguments import check_task

        check_task(next(iter(words), None))
        raise click.UsageError(f"Missing argument 'TASK'; there are {', '.join(job_names())}.", context)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what tasks there are, and the options of each of them."""
        _write(formatter, "Tasks", [(job.name, job.summary) for job in all_jobs().values()])
        records = [option.get_help_record(context) for option in _common_options(None)]
        _write(formatter, "Options of every task", [record for record in records if record])


def _write(formatter: click.HelpFormatter, title: str, rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)


def _examples(job: Job) -> str:
    command = f"  sutazai-exporter run {job.name}"
    lines = [command, f"{command} --dry-run", f"{command} --json"]
    lines += [f"{command} {flag.name}" for flag in job.flags if not flag.takes_value]
    return "\n".join(lines)


def _common_options(job: Job | None) -> list[click.Parameter]:
    """The options of every task; of `job` they know its modes, and whether it takes a target."""
    from exporter.commandline.arguments import agents, completing

    modes = completing(lambda context: job.modes if job else ())

    @config_option
    @click.option("--mode", metavar="MODE", default="", shell_complete=modes, help="One of the task's modes.")
    @click.option(
        "--target",
        metavar="NAME",
        default="",
        hidden=job is not None and not job.takes_target,
        shell_complete=completing(agents),
        help="Only this one (an agent's name).",
    )
    @dry_run_option
    @click.option(
        "--scheduled",
        is_flag=True,
        help="Only if a slot of its schedule is due and unclaimed (for cron: prints only what is not well).",
    )
    @seconds_option("--wait", "wait_seconds", least=0, most=86400, default=30, help_text=_WAIT)
    @json_option
    @click.option("--verbose", "-v", is_flag=True, help="Print the run's log and every finding.")
    def carrier() -> None: ...

    return list(reversed(carrier.__click_params__))  # type: ignore[attr-defined]


def _carry_out(config_file: Path | None, mode: str, **given: Any) -> None:
    from exporter.commandline.job_flags import chosen
    from exporter.commandline.one_run import Order, carry_out

    name = click.get_current_context().command.name or ""
    job = load_job(name)
    flags = {key: value for key, value in given.items() if key.startswith("flag_")}
    common = {key: value for key, value in given.items() if key not in flags}
    carry_out(Order(task=name, choice=chosen(job, mode, flags), config_file=config_file, **common))


@click.group(cls=Tasks, no_args_is_help=False, subcommand_metavar="TASK [OPTIONS]", options_metavar="")
def run() -> None:
    """Run TASK once, now, and exit with its verdict.

    Each task has flags, modes and exit codes of its own: see `run TASK --help`.

    \b
    Examples:
      sutazai-exporter run health-check
      sutazai-exporter run log-rotation --force --dry-run
      sutazai-exporter run agent-monitor --target sutazai-agent-orchestrator --dry-run
    """
