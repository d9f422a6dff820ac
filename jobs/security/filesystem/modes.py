"""The scanner of modes and owners: secrets that are open, what everybody may change, programs with rights."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from jobs.clients import root_runs, tree
from jobs.clients.errors import Absent, ClientError
from jobs.clients.packages import Packages
from jobs.clients.tree import Entry, Told
from jobs.security.filesystem import judgement
from jobs.security.filesystem.gathering import Gathering
from jobs.security.filesystem.judgement import Ownership, Rules
from jobs.security.filesystem.missing import tell_unread
from jobs.security.filesystem.places import checked, mounted
from jobs.security.filesystem.settings import FileSystemSettings
from jobs.security.scanner import Area, Look, Scanner


def scan(look: Look) -> None:
    """Look at every file of the scope once; tell what is weak and what could not be read."""
    settings, clients = look.settings.filesystem, look.clients
    places = checked(settings, clients.base_dir, mounted(clients.host), full=look.full)
    look.detail("directories", [tree.shown(root) for root in places.roots])
    secret = [os.path.realpath(clients.base_dir / path) for path in settings.secret_directories]
    guarded = [os.path.realpath(path) for path in (*settings.run_by_root, *settings.program_directories)]
    rules = Rules(_below(secret), _below(guarded), _group_ids(settings), _allowed(settings))
    gathering, told, waiting = Gathering(settings.max_listed), Told(), list[Entry]()
    look.go_on()
    try:
        met = tree.entries(places, secret, guarded, told, timeout_seconds=look.left_seconds)
        for entry in met:
            if judgement.needs_owner(entry):
                waiting.append(entry)
                continue
            _gather(gathering, [entry], rules, Ownership())
    except ClientError:
        look.go_on()
        raise
    finally:
        _gather(gathering, waiting, rules, _ownership(look, waiting))
        _gather_programs(look, gathering, settings.run_by_root)
        tell(look, gathering, told)


def tell(look: Look, gathering: Gathering, told: Told) -> None:
    """Tell what was gathered, and what was missed."""
    look.scanned(told.looked_at)
    for found in gathering.results():
        look.found(found.weakness())
    tell_unread(look, told)


def _gather(gathering: Gathering, entries: Iterable[Entry], rules: Rules, ownership: Ownership) -> None:
    for entry in entries:
        for fault in judgement.faults_of(entry, rules, ownership):
            gathering.add(fault)


def _gather_programs(look: Look, gathering: Gathering, places: tuple[Path, ...]) -> None:
    programs, unread = root_runs.programs(places)
    known = set()
    for program in programs:
        for fault in judgement.faults_of_program(program):
            if (fault.rule, fault.path) not in known:
                known.add((fault.rule, fault.path))
                gathering.add(fault)
    for what in unread:
        look.missed(f"what root runs: {what}")


def _ownership(look: Look, entries: list[Entry]) -> Ownership:
    """Which packages the entries came with. Without a database of packages that is unknown, and said."""
    packages, paths = Packages(), [entry.path for entry in entries]
    try:
        return Ownership(True, packages.owners(paths), packages.settled(paths))
    except Absent as error:
        look.detail("packages", str(error))
    except ClientError as error:
        look.missed(f"which package a program came with: {error}")
    return Ownership()


def _group_ids(settings: FileSystemSettings) -> frozenset[int]:
    import grp

    return frozenset(group.gr_gid for group in grp.getgrall() if group.gr_name in settings.key_groups)


def _allowed(settings: FileSystemSettings) -> re.Pattern[str]:
    patterns = "|".join(map(tree.translate, settings.allowed_privileged))
    return re.compile(patterns or r"(?!)", re.DOTALL)


def _below(directories: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{directory.rstrip('/')}/" for directory in directories)


MODES = Scanner("modes", Area.FILESYSTEM, "Modes and owners of files", "files", scan)
