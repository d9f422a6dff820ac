"""The scanner of modes and owners on real trees: each kind of weakness is found, and its clean twin is not."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.clients import tree
from jobs.clients.commands import CommandFailed
from jobs.clients.packages import Packages
from jobs.clients.tree import Entry
from jobs.core.model import Severity
from jobs.security.filesystem.modes import MODES
from jobs.security.scanner import Area, Look, OutOfTime, Seen
from jobs.security.settings import Settings
from tests.services.binaries import need, need_root
from tests.services.disks import tmpfs
from tests.services.looks import by_rule, clients_of, look
from tests.services.planted import private_key

NOBODY = 65534
UNKNOWN_ID = 987_654


def write(path: Path, text: str = "x\n", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def only(base: Path, **changes: Any) -> dict[str, Any]:
    """Settings under which the base directory alone is looked at."""
    quiet = {"directories": [], "full_directories": [], "run_by_root": [], "program_directories": []}
    return {"filesystem": {**quiet, **changes}}


def scan(base: Path, *, full: bool = True, seconds: float = 60, **changes: Any) -> Seen:
    return look(MODES, clients_of(base), only(base, **changes), full=full, seconds=seconds)


def subjects(seen: Seen, base: Path) -> dict[str, set[str]]:
    return {
        rule: {weakness.subject.removeprefix(f"{base}/") for weakness in found} for rule, found in by_rule(seen).items()
    }


_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from tests.integration.test_security_modes import scan, subjects
base = Path(sys.argv[1])
# The tests' Python may stand where only root can start it again; the walk needs no more than any Python.
if not os.access(os.path.realpath(sys.executable), os.X_OK):
    sys.executable = "/usr/bin/python3"
seen = scan(base)
found = {rule: sorted(names) for rule, names in subjects(seen, base).items()}
print(json.dumps([found, seen.missed, os.geteuid()]))
"""


def as_nobody(base: Path) -> Any:
    """What a scan without any rights sees: the subjects by rule, what it missed, whose it was."""
    as_user = [need("setpriv", package="util-linux"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    argv = [*as_user, sys.executable, "-c", _AS_NOBODY, str(base)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.stderr == ""
    return json.loads(done.stdout)


Plant = Callable[[Path], Path]


def _directory(mode: int) -> Plant:
    def plant(path: Path) -> Path:
        write(path / "inner.txt")
        path.chmod(mode)
        return path

    return plant


def _file(mode: int, text: str = "x\n") -> Plant:
    return lambda path: write(path, text, mode)


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = private_key("")

# The rule, the name below the base directory, how the weak one and how its clean twin is made.
KINDS: list[tuple[str, str, Plant, Plant]] = [
    ("world_writable_file", "data/notes.txt", _file(0o666), _file(0o664)),
    ("world_writable_file", "data/run.sh", _file(0o777), _file(0o755)),
    ("world_writable_directory", "data/open", _directory(0o777), _directory(0o1777)),
    ("secret_directory_open", "secrets_secure", _directory(0o750), _directory(0o700)),
    ("secret_directory_open", "secrets_secure/deep", _directory(0o755), _directory(0o700)),
    ("secret_file_open", "secrets_secure/db", _file(0o640), _file(0o600)),
    ("secret_file_open", "secrets_secure/deep/run", _file(0o700), _file(0o400)),
    ("private_key_readable", "ssl/key.pem", _file(0o644, KEY), _file(0o600, KEY)),
    ("private_key_readable", "ssl/bundle.crt", _file(0o644, CERTIFICATE + KEY), _file(0o644, CERTIFICATE)),
    ("private_key_readable", "home/.ssh/id_ed25519", _file(0o644), _file(0o600)),
    ("private_key_readable", "home/.ssh/id_of_mine", _file(0o604, KEY), _file(0o644)),
    ("private_key_readable", "etc/ssh/ssh_host_rsa_key", _file(0o644), _file(0o600)),
    ("credentials_readable", ".env", _file(0o644), _file(0o600)),
    ("credentials_readable", "app/.env.production", _file(0o644), _file(0o600)),
    ("credentials_readable", "home/.pgpass", _file(0o644), _file(0o600)),
    ("credentials_readable", "home/.docker/config.json", _file(0o644), _file(0o600)),
    ("credentials_readable", "home/.kube/config", _file(0o644), _file(0o600)),
    ("credentials_readable", "home/.aws/credentials", _file(0o644), _file(0o600)),
    ("credentials_readable", "store.p12", _file(0o644), _file(0o600)),
    ("authorized_keys_writable", "home/.ssh/authorized_keys", _file(0o664), _file(0o644)),
    ("setuid_unknown", "bin/tool", _file(0o4755), _file(0o755)),
    ("setuid_unknown", "bin/group-tool", _file(0o2755), _file(0o755)),
    ("setuid_writable", "bin/passwd", _file(0o4757), _file(0o755)),
]
HARMLESS: list[tuple[str, Plant]] = [
    ("ssl/cert.pem", _file(0o644, CERTIFICATE)),
    ("app/.env.example", _file(0o644)),
    ("app/config.json", _file(0o644)),
    ("app/config", _file(0o644)),
    ("app/public.key", _file(0o644, "-----BEGIN PUBLIC KEY-----\n")),
    ("home/.ssh/id_ed25519.pub", _file(0o644, "ssh-ed25519 AAAA\n")),
    ("data/shared", _directory(0o2775)),
    ("venv/site-packages/tests/key.pem", _file(0o644, KEY)),
]


def plant(base: Path, *, weak: bool) -> dict[str, set[str]]:
    """Plant everything; return what is to be found."""
    (base / "secrets_secure").mkdir(parents=True, mode=0o700)
    expected: dict[str, set[str]] = {}
    # What is in a directory is made before the directory gets its mode.
    for rule, name, make, make_clean in sorted(KINDS, key=lambda kind: kind[1].count("/"), reverse=True):
        (make if weak else make_clean)(base / name)
        expected.setdefault(rule, set()).add(name)
    for inner in (base / "secrets_secure").rglob("inner.txt"):
        inner.chmod(0o600)
    for name, make in HARMLESS:
        make(base / name)
    return expected if weak else {}


@pytest.mark.parametrize("weak", [True, False], ids=["weak", "clean"])
@pytest.mark.parametrize("full", [True, False], ids=["full", "standard"])
def test_each_kind_is_found_and_its_clean_twin_is_not(tmp_path: Path, weak: bool, full: bool) -> None:
    base = tmp_path / "base"
    expected = plant(base, weak=weak)
    seen = scan(base, full=full)
    assert subjects(seen, base) == expected
    assert seen.missed == []
    assert seen.scanned > len(KINDS) + len(HARMLESS)


@pytest.mark.parametrize("weak", [True, False], ids=["weak", "clean"])
def test_the_same_is_seen_without_root(tmp_path: Path, weak: bool) -> None:
    need_root("becoming another user")
    base = Path(f"/tmp/sutazai-modes-{os.getpid()}-{weak}")
    base.mkdir()
    try:
        expected = plant(base, weak=weak)
        for path in (base, *base.rglob("*")):
            mode = path.lstat().st_mode
            os.chown(path, NOBODY, -1)
            path.chmod(mode & 0o7777)  # from which chown has taken the SUID bit
        found, missed, user = as_nobody(base)
        assert {rule: set(names) for rule, names in found.items()} == expected
        assert (missed, user) == ([], NOBODY)
    finally:
        shutil.rmtree(base)


def test_what_root_cannot_do_without_rights_is_missed_and_named(tmp_path: Path) -> None:
    need_root("becoming another user")
    base = Path(f"/tmp/sutazai-missed-{os.getpid()}")
    base.mkdir()
    try:
        for number in range(7):
            (base / f"closed-{number}").mkdir(mode=0o700)
        _, (missed,), _ = as_nobody(base)
        assert missed.startswith(f"7 could not be read: {base}/closed-0 (Permission denied); ")
        assert missed.endswith(" and others")
        assert missed.count(";") == 4
    finally:
        shutil.rmtree(base)


def test_what_root_runs_may_be_changed_by_nobody_else(tmp_path: Path) -> None:
    need_root("owning what root runs")
    base, cron, scripts = tmp_path / "base", tmp_path / "cron.d", tmp_path / "scripts"
    base.mkdir()
    write(scripts / "open.sh", "#!/bin/sh\n", 0o775)
    write(scripts / "closed.sh", "#!/bin/sh\n", 0o755)
    write(scripts / "owned.sh", "#!/bin/sh\n", 0o755)
    write(scripts / "not-named.sh", "#!/bin/sh\n", 0o755)
    os.chown(scripts / "open.sh", 0, NOBODY)
    os.chown(scripts / "owned.sh", NOBODY, 0)
    write(cron / "table", f"17 * * * * root {scripts}/open.sh && {scripts}/owned.sh {scripts}/closed.sh\n")
    write(cron / "open-table", "", 0o646)
    unit = write(tmp_path / "units" / "x.service", f"[Service]\nExecStartPre=-{scripts}/closed.sh\nUser=root\n", 0o664)
    os.chown(unit, 0, NOBODY)
    seen = scan(base, run_by_root=[str(cron), str(tmp_path / "units")])
    assert subjects(seen, tmp_path) == {
        "run_by_root_writable": {"scripts/open.sh"},
        "run_by_root_owner": {"scripts/owned.sh"},
    }
    seen = scan(base, run_by_root=[str(cron), str(tmp_path / "units")], full_directories=[str(tmp_path)])
    assert subjects(seen, tmp_path) == {
        "run_by_root_writable": {"scripts/open.sh", "cron.d/open-table", "units/x.service"},
        "run_by_root_owner": {"scripts/owned.sh"},
    }
    assert {weakness.severity for weakness in by_rule(seen)["run_by_root_writable"]} == {Severity.CRITICAL}


def test_files_of_nobody_are_found(tmp_path: Path) -> None:
    need_root("giving files away")
    for name, ids in (("user", (UNKNOWN_ID, 0)), ("group", (0, UNKNOWN_ID)), ("known", (0, 0))):
        os.chown(write(tmp_path / name), *ids)
    assert subjects(scan(tmp_path), tmp_path) == {"no_owner": {"user", "group"}}


def test_capabilities_are_found_by_their_names(tmp_path: Path) -> None:
    need_root("giving capabilities")
    setcap = need("setcap", package="libcap2-bin")
    for name, rights in (("strong", "cap_setuid+ep"), ("weak", "cap_net_raw+ep"), ("none", "=")):
        subprocess.run([setcap, rights, str(write(tmp_path / name, mode=0o755))], check=True)
    seen = scan(tmp_path)
    assert subjects(seen, tmp_path) == {"capabilities_unknown": {"strong", "weak"}}
    strong, weak = sorted(seen.weaknesses, key=lambda weakness: weakness.subject)
    assert (strong.severity, "setuid" in strong.message) == (Severity.CRITICAL, True)
    assert (weak.severity, "net_raw" in weak.message) == (Severity.HIGH, True)


def test_devices_outside_of_dev_are_found(tmp_path: Path) -> None:
    need_root("making devices")
    os.mknod(tmp_path / "disk", 0o60666, os.makedev(7, 200))
    os.mknod(tmp_path / "removed", 0o20666, os.makedev(0, 0))
    (tmp_path / "disk").chmod(0o666)
    (tmp_path / "removed").chmod(0o666)
    assert subjects(scan(tmp_path), tmp_path) == {"device_file": {"disk"}}


def test_packages_own_their_programs_and_not_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / "passwd"
    shutil.copy("/usr/bin/passwd", copy)
    copy.chmod(0o4755)
    assert Packages().owners(["/usr/bin/passwd", str(copy)]) == {"/usr/bin/passwd": "passwd"}
    seen = scan(tmp_path, full_directories=["/usr/bin"])
    assert [weakness.subject for weakness in by_rule(seen)["setuid_unknown"]] == [str(copy)]
    assert "setuid_unusual" not in by_rule(seen)


def test_a_program_that_is_allowed_is_none(tmp_path: Path) -> None:
    write(tmp_path / "bin" / "tool", mode=0o4755)
    assert scan(tmp_path).weaknesses != []
    assert scan(tmp_path, allowed_privileged=["bin/tool"]).weaknesses == []


def test_many_below_one_directory_are_one_whose_identity_stays(tmp_path: Path) -> None:
    for number in range(150):
        write(tmp_path / "tree" / f"d{number % 3}" / f"{number}", mode=0o666)
    write(tmp_path / "one", mode=0o666)
    one, heap = scan(tmp_path).weaknesses
    assert (one.subject, heap.subject) == (f"{tmp_path}/one", f"{tmp_path}/tree/")
    assert "150 files may be written by everybody" in heap.message
    write(tmp_path / "tree" / "another", mode=0o777)
    _, later = scan(tmp_path).weaknesses
    assert "151 files" in later.message
    assert later.identity(Area.FILESYSTEM) == heap.identity(Area.FILESYSTEM)
    assert later.severity == Severity.HIGH


def test_other_file_systems_are_looked_at_only_if_wanted() -> None:
    with tmpfs(4) as base:
        inner = write(base / "inner" / "hidden", mode=0o666).parent
        write(base / "file", mode=0o666)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=1m", "tmpfs", str(inner)], check=True)
        try:
            write(inner / "file", mode=0o666)
            assert subjects(scan(base), base) == {"world_writable_file": {"file"}}
            wanted = scan(base, full_directories=[str(inner)])
            assert subjects(wanted, base) == {"world_writable_file": {"file", "inner/file"}}
        finally:
            subprocess.run(["umount", str(inner)], check=True)


def test_excluded_directories_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a" / "cache" / "file", mode=0o666)
    write(tmp_path / "b" / "file", mode=0o666)
    assert subjects(scan(tmp_path, exclude=["cache", f"{tmp_path}/b"]), tmp_path) == {}


def test_a_directory_that_is_not_there_is_missed(tmp_path: Path) -> None:
    seen = scan(tmp_path, full_directories=["/nowhere/at/all"])
    assert seen.missed == ["1 could not be read: /nowhere/at/all (No such file or directory)"]


class Halting:
    """Stands for the clock of a scan whose time is over when the walk has told of one file."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.mark.parametrize(("at", "error"), [(99.0, OutOfTime), (1.0, CommandFailed)], ids=["out of time", "failed"])
def test_what_was_reached_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: float, error: type[Exception]
) -> None:
    clients, clock = clients_of(tmp_path), Halting()
    clients.clock = clock  # type: ignore[assignment]

    def halted(*_: object, **__: object) -> Iterator[Entry]:
        yield Entry(f"{tmp_path}/file", stat.S_IFREG | 0o666, 0, 0, True, True, "", False, 0)
        yield Entry(f"{tmp_path}/tool", stat.S_IFREG | 0o4755, 0, 0, True, True, "", False, 0)
        clock.at = at
        raise CommandFailed("the walk has ended", None)

    monkeypatch.setattr(tree, "entries", halted)
    told = Look(Settings.model_validate(only(tmp_path)), clients, full=True, unit="files", deadline=10)
    with pytest.raises(error):
        MODES.scan(told)
    assert subjects(told.so_far(), tmp_path) == {"world_writable_file": {"file"}, "setuid_unknown": {"tool"}}


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        scan(tmp_path, seconds=0)
