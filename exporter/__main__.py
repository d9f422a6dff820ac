"""The program: what the command `sutazai-exporter` begins with, and `python -m exporter`."""

from __future__ import annotations

import signal


def program() -> None:
    """Load the command line and do what it says.

    Until that is there Ctrl-C ends the process as it ends any other: Python would tell a person in which line of which
    library it came. (What a shell has told to ignore it, with `&`, goes on ignoring it.) Nothing else is loaded first.
    """
    heeded = signal.getsignal(signal.SIGINT)
    if heeded is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from exporter.cli import program as loaded

    signal.signal(signal.SIGINT, heeded)
    loaded()


if __name__ == "__main__":
    program()
