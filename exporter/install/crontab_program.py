"""Somebody's crontab, by the program `crontab`: read whole or not at all, written, and read again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from exporter.commands.base import EXIT_UNAVAILABLE, Failure
from exporter.install.steps import COMMAND_SECONDS, difference
from jobs.clients import commands
from jobs.clients.errors import Absent

_NONE_YET = "no crontab for"
"""What Debian's cron and cronie say, with exit code 1, where a user has none."""
_INSTALL = "install cron (apt-get install cron), or use --systemd"


@dataclass(frozen=True)
class CrontabProgram:
    """The crontab of `user`; empty: of whoever runs this."""

    user: str = ""

    def read(self) -> bytes | None:
        """The crontab, or None where there is none; raise Failure for every other answer."""
        done = self._run("-l")
        said = commands.last_line(done.stderr)
        if done.code == 0:
            if len(done.stdout) >= commands.MAX_OUTPUT_BYTES:
                raise Failure("crontab -l: longer than 1 MiB; nothing was changed", EXIT_UNAVAILABLE)
            return done.stdout
        if _NONE_YET in done.stderr and not done.stdout:
            return None
        raise Failure(
            f"crontab -l ended with {done.code}: {said or 'it said nothing'}; the crontab is not known, so it stays",
            EXIT_UNAVAILABLE,
        )

    def write(self, text: bytes | None) -> None:
        """Make it this, or remove it; raise Failure where it is not this afterwards."""
        if text is None:
            done = self._run("-r") if self.read() is not None else None
        else:
            done = self._run("-", text)
            if done.code != 0 and text and not text.endswith(b"\n"):
                # Debian's refuses a last line without its end, which an editor or another cron had let pass.
                text += b"\n"
                done = self._run("-", text)
        if done and done.code != 0:
            raise Failure(f"crontab refused it ({done.code}): {' '.join(done.stderr.split())[:300]}", EXIT_UNAVAILABLE)
        if self.read() != text:
            raise Failure("crontab said it was written, and it reads otherwise", EXIT_UNAVAILABLE)

    def _run(self, argument: str, text: bytes | None = None) -> commands.Done:
        argv = ["crontab", *(["-u", self.user] if self.user else []), argument]
        try:
            with commands.Child(argv, timeout_seconds=COMMAND_SECONDS, fed=text is not None) as child:
                if text is not None:
                    child.feed([text])
                    return commands.Done(child.wait(check=False), b"", child.stderr())
                output = bytearray()
                for chunk in child.chunks():
                    output += chunk[: commands.MAX_OUTPUT_BYTES - len(output)]
                return commands.Done(child.wait(check=False), bytes(output), child.stderr())
        except Absent:
            raise Failure(f"the program crontab is not here; {_INSTALL}", EXIT_UNAVAILABLE) from None


@dataclass(frozen=True)
class CrontabChange:
    """A crontab is changed; `after` None: it is removed, as nothing is left in it."""

    program: CrontabProgram
    before: bytes | None
    after: bytes | None

    @property
    def idle(self) -> bool:
        """Whether it is as it should be."""
        return self.before == self.after

    @property
    def title(self) -> str:
        """What becomes of it."""
        whose = f"the crontab of {self.program.user or _own_name()}"
        if self.idle:
            return f"unchanged: {whose}"
        return f"{'made' if self.before is None else 'removed' if self.after is None else 'changed'}: {whose}"

    def preview(self) -> list[str]:
        """The difference."""
        return difference("crontab", self.before, self.after)

    def do(self) -> None:
        """Write it, if it still is as it was read; what is not right afterwards is put back."""
        if self.program.read() != self.before:
            raise Failure("the crontab changed meanwhile; run this again", EXIT_UNAVAILABLE)
        try:
            self.program.write(self.after)
        except Failure:
            with contextlib.suppress(Failure):  # the first failure is the one to tell
                if self.program.read() != self.before:
                    self.program.write(self.before)
            raise

    def undo(self) -> None:
        """Put back what was there."""
        self.program.write(self.before)


def _own_name() -> str:
    from exporter.commands.base import user_name

    return user_name() if os.geteuid() == os.getuid() else str(os.geteuid())
