"""The command line: each file in `exporter/commands/` is a command, which is loaded when it is asked for."""

from __future__ import annotations

import errno
import gc
import io
import os
import pkgutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

import click

import exporter.commands
from exporter import __version__
from exporter.commandline.options import Group
from exporter.failure import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure

PROGRAM = "sutazai-exporter"


class ReaderLeft(Exception):
    """Nobody reads standard output any more, as after `| head`."""


class Commands(Group):
    """Loads a command when it is asked for: a daemon keeps for months what it has loaded."""

    def make_context(self, *arguments: Any, **given: Any) -> click.Context:
        """What click makes of the command line; `--help` is printed here."""
        with _reader_may_leave():
            return super().make_context(*arguments, **given)

    def invoke(self, context: click.Context) -> Any:
        """Carry a command out."""
        with _reader_may_leave():
            return super().invoke(context)

    def list_commands(self, context: click.Context) -> list[str]:
        """Every command's name, which is that of its file."""
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(exporter.commands.__path__))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name not in self.list_commands(context):
            return None
        module = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"exporter.commands.{module}"), module)
        return command


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Take a broken pipe out of the hands of click, which ends with 1 for it as if something had failed."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderLeft from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(__version__, prog_name=PROGRAM)
def commands() -> None:
    """Measure, repair and watch over a self-hosted AI stack.

    \b
    Examples:
      sutazai-exporter serve                        serve on 127.0.0.1:10042
      sutazai-exporter status                       whether anything is wrong, and what to do
      sutazai-exporter run health-check             one check now, with its report
      sutazai-exporter run agent-monitor --dry-run  what would be restarted
      sutazai-exporter history                      what ran, why, and what came of it
      sutazai-exporter reports show latest          the newest report, to be read
      sutazai-exporter notify --test                a test message through each channel

    Exit codes: 0 good; 1 to 4 a verdict (`run`, `status`, `doctor`, `audit verify`); 64 wrong usage; 69 something
    needed cannot be used (the store, the port); 75 of `run`: somebody else is running it; 78 wrong configuration;
    130 Ctrl-C. With NO_COLOR in the environment nothing is printed in colours.
    """


def program() -> NoReturn:
    """What `exporter.__main__` begins: `main`, in a process of its own, begun and ended without what serves nobody.

    A command loads much and leaves little garbage, so none is looked for: `serve` and runs, which last, begin with that
    themselves. At the end nothing is taken apart that the kernel takes away as a whole.
    """
    gc.disable()
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int) or threading.active_count() > 1:
            raise
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            raise end from None
        with suppress(OSError, ValueError):  # what is left of complaints can be told nobody
            sys.stderr.flush()
        os._exit(end.code)


def main() -> NoReturn:
    """What the program does: one line for a user's mistake, and sysexits' codes."""
    _prepare_streams()
    # Whoever may write in these directories owns what is kept there: no umask of a caller is to give that to everybody.
    os.umask(os.umask(0o077) | 0o002)
    try:
        code = commands.main(prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except (ReaderLeft, BrokenPipeError):
        _drop_output()
        sys.exit(0)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        lines, exit_code = told
        with suppress(OSError):  # the code says it, too, where standard error cannot be written
            for line in lines:
                click.echo(f"{PROGRAM}: {line}", err=True)
        sys.exit(exit_code)


def _prepare_streams() -> None:
    """Read and write nothing where a stream is closed (`>&-`), and another character where one cannot be shown.

    What is opened later must not get the number of a standard stream: libuv ends a process that has a socket there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _told(error: Exception) -> tuple[list[str], int] | None:
    """What a user is told of a mistake or of what cannot be used, and the exit code; None: it is a fault of ours."""
    if isinstance(error, click.ClickException):
        return [_usage(error)], EXIT_USAGE
    if isinstance(error, Failure):
        return [str(error)], error.code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
        _drop_output()
        return [f"standard output cannot be written: {error.strerror}; make room"], EXIT_UNAVAILABLE
    # A command that is wrong in itself needs none of the configuration, which takes most of the time to load.
    from exporter.config import ConfigError
    from exporter.store import StoreError

    if isinstance(error, ConfigError):
        return error.problems, EXIT_CONFIG
    return ([str(error)], EXIT_UNAVAILABLE) if isinstance(error, StoreError) else None


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = " ".join(error.format_message().split())  # choices come as a line each
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        from exporter.misspelt import nearest

        known = [name for option in context.command.get_params(context) for name in option.opts if name[:1] == "-"]
        message = f"No such option {error.option_name!r}{nearest(error.option_name, known)}"
    return f"{message}{'' if message[-1:] in '.?' else '.'} See '{context.command_path} --help'."


def _drop_output() -> None:
    """What is still in the buffer of standard output would be written, and fail, once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
