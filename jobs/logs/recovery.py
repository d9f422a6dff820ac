"""What a run that was cut off had yet to do: an archive is in place, its source not yet cut or removed.

The two are compared first. What was done is not done again, and what is in doubt stays.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from pathlib import Path

from jobs.logs.archives import Archives
from jobs.logs.compress import begins_with, end_of
from jobs.logs.memory import Memory, Pending
from jobs.logs.places import Place, Refused, idle, open_place, remove_idle
from jobs.logs.syscalls import cut_head, first_block


def recover(archives: Archives, memory: Memory) -> str:
    """Finish what a run was killed in the middle of; return what was done about it, if anything."""
    pending = memory.pending()
    if pending is None:
        return ""
    with ExitStack() as stack:
        try:
            said = _finish(pending, archives, stack)
        except (OSError, Refused) as error:
            said = f"{pending.archive} may hold what {pending.names[0]} still holds: {error}"
    memory.settle()
    return said


def _finish(pending: Pending, archives: Archives, stack: ExitStack) -> str:
    archive = archives.open_sound(pending.archive)
    if archive is None:
        return ""  # it ended before the archive had its name, and the source is as it was
    stack.callback(os.close, archive)
    place = open_place(Path(pending.directory), stack)
    for name in pending.names:
        with contextlib.suppress(FileNotFoundError):
            if place.status(name).st_ino == pending.inode:
                finish = _finish_cut if pending.kind == "cut" else _finish_removal
                return finish(place, name, pending, archive)
    return ""


def _finish_cut(place: Place, name: str, pending: Pending, archive: int) -> str:
    descriptor = place.open(name, os.O_RDWR)
    try:
        filler = pending.filler.encode()
        if begins_with(descriptor, archive, pending.size):
            if first_block(descriptor) != pending.first_block:
                return f"{place.path / name} begins with what {pending.archive} holds; it may be archived twice"
            cut_head(descriptor, pending.size - len(filler))
        elif not filler or os.pread(descriptor, len(filler), 0) != end_of(archive, pending.size, len(filler)):
            return ""  # all was done before the run ended
        os.pwrite(descriptor, filler, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return f"{place.path / name}: cut, as {pending.archive} holds its first {pending.size} bytes"


def _finish_removal(place: Place, name: str, pending: Pending, archive: int) -> str:
    with idle(place, name) as held:
        status = os.fstat(held.descriptor)
        if status.st_size != pending.size or not begins_with(held.descriptor, archive, pending.size):
            return f"{place.path / name} was written to after {pending.archive} was made; its beginning is in both"
        remove_idle(place, name, pending.names[-1], held, status)
        place.sync()
    return f"{place.path / name}: removed, as {pending.archive} holds all of it"
