"""A program that is run with each message: the guide's three arguments, JSON on standard input, a few variables."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime
from pathlib import Path

from exporter.bridge.model import Message
from exporter.bridge.outgoing.channels import HANDLER_PREFIX
from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused, one_line
from exporter.bridge.outgoing.channels.document import document
from exporter.bridge.outgoing.settings import Handler
from exporter.processes.marks import EVENT_PREFIX
from jobs.clients.commands import Child
from jobs.clients.errors import Absent, ClientError

MAX_ARGUMENT = 1000
"""Characters of the message as an argument; standard input has all of it."""


class HandlerChannel:
    """One configured program."""

    def __init__(self, handler: Handler, timeout_seconds: float) -> None:
        self.name = HANDLER_PREFIX + handler.name
        self._path = handler.path
        self._timeout_seconds = timeout_seconds

    def send(self, message: Message, now: datetime) -> Receipt:
        """Run the program to its end; raise Refused where it must not be run, Delayed where it did not do its work."""
        program = checked_program(self._path)
        argv = [str(program), message.event, _argument(message.summary), message.severity]
        try:
            with Child(
                argv,
                timeout_seconds=self._timeout_seconds,
                environment=_environment(message),
                cwd=Path("/"),
                fed=True,
                ends_whole=True,
            ) as child:
                child.feed([json.dumps(document(message)).encode() + b"\n"])
                code = child.wait(check=False)
                said = _last_line(child.stderr())
        except Absent:
            # The program is there (it was looked at): what starts it is not.
            raise Delayed(f"{self._path}: what its first line names (#!) is not there; install or mend it") from None
        except ClientError as error:
            raise Delayed(str(error)) from None
        if code != 0:
            how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            raise Delayed(f"{self._path} {how}{': ' if said else ''}{said}")
        return Receipt(f"{self._path} ended with 0")


def checked_program(path: Path) -> Path:
    """The program itself, without links; raise Refused unless nobody but root and we can change which one it is."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        steps = [(step, step.stat()) for step in dict.fromkeys((real, *real.parents, *path.parents))]
        flaw = what_is_no_program(path)
    except OSError as error:
        raise Refused(f"{path}: the handler cannot be run: {error.strerror}; put it there, or take it out") from None
    if flaw:
        raise Refused(f"{path}: the handler {flaw}")
    if not os.access(real, os.X_OK):
        raise Refused(f"{path}: the handler is no program that can be run; chmod 0755 it")
    for step, status in steps:
        if reason := _flaw(status):
            raise Refused(f"{step}: {reason}, who could have anything run as a handler; chown root and chmod 0755 it")
    return real


def what_is_no_program(path: Path) -> str:
    """Why nobody could run a file, with the remedy; empty if somebody can. Raise OSError where it cannot be seen."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        return "is no file; set its path to the program"
    return "" if mode & 0o111 else "is no program that can be run; chmod 0755 it"


def _flaw(status: os.stat_result) -> str:
    """Why others than root and we can change this; empty if they cannot."""
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to user {status.st_uid}"
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    # In a sticky directory, as /tmp is, nobody can replace what is another's.
    if shared and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return "can be written by others"
    return ""


def _argument(text: str) -> str:
    """One line that no program takes for an option: what begins with a dash gets a blank before it."""
    line = one_line(text, MAX_ARGUMENT)
    return f" {line}" if line.startswith("-") else line


def _environment(message: Message) -> dict[str, str]:
    values = {
        "ID": message.id,
        "THREAD": message.thread,
        "NEWS": message.news,
        "TYPE": message.event,
        "SEVERITY": message.severity,
        "STATUS": message.status,
        "HOST": message.host,
        "TASK": message.task,
        "SUMMARY": message.summary,
        "TIMESTAMP": message.at.isoformat(timespec="seconds"),
    }
    return {f"{EVENT_PREFIX}{name}": one_line(value, MAX_ARGUMENT) for name, value in values.items()}


def _last_line(text: str) -> str:
    return next((line for line in reversed([one_line(each, 4096) for each in text.splitlines()]) if line), "")
