"""The pure parts of the scanners of files: judging, gathering, choosing places, reading tables and databases."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.clients import root_runs
from jobs.clients.errors import Absent
from jobs.clients.packages import Packages
from jobs.clients.tree import Entry, mount_points, shown, translate
from jobs.core.model import Severity
from jobs.security.filesystem.faults import RULES, Fault, Heap
from jobs.security.filesystem.gathering import Gathering
from jobs.security.filesystem.judgement import Ownership, Rules, faults_of
from jobs.security.filesystem.places import Mounts, checked, outermost, searched
from jobs.security.filesystem.privileges import capabilities
from jobs.security.filesystem.settings import FileSystemSettings


def entry(path: str, mode: int, *, uid: int = 0, gid: int = 0, capability: str = "", key: bool = False) -> Entry:
    kind = 0 if stat.S_IFMT(mode) else stat.S_IFREG
    return Entry(path, kind | mode, uid, gid, True, True, capability, key, 0)


def judged(one: Entry, rules: Rules | None = None, ownership: Ownership | None = None) -> list[tuple[str, Severity]]:
    return [(f.rule, f.severity) for f in faults_of(one, rules or Rules(), ownership or Ownership())]


OWNED = Ownership(True, {"/usr/bin/su": "util-linux", "/usr/bin/odd": "odd", "/opt/key.pem": "docs"}, frozenset())


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (entry("/usr/bin/su", 0o4755), []),
        (entry("/usr/bin/odd", 0o4755), [("setuid_unusual", Severity.HIGH)]),
        (entry("/usr/bin/odd", 0o2755, gid=5), [("setuid_unusual", Severity.MEDIUM)]),
        (entry("/tmp/su", 0o4755), [("setuid_unknown", Severity.CRITICAL)]),
        (entry("/tmp/su", 0o4755, uid=1000), [("setuid_unknown", Severity.HIGH)]),
        (entry("/tmp/su", 0o4644), []),
        (entry("/usr/bin/su", 0o4775), [("setuid_writable", Severity.CRITICAL)]),
        (entry("/opt/key.pem", 0o644, key=True), []),
        (entry("/srv/key.pem", 0o644, key=True), [("private_key_readable", Severity.CRITICAL)]),
        (entry("/srv/key.pem", 0o640, gid=9, key=True), [("private_key_readable", Severity.HIGH)]),
        (entry("/srv/key.pem", 0o640, gid=0, key=True), []),
        (entry("/srv/key.pem", 0o666, key=True), [("private_key_readable", Severity.CRITICAL)]),
        (entry("/etc/shadow", 0o640, gid=42), [("credentials_readable", Severity.HIGH)]),
        (entry("/srv/.env", 0o640, gid=9), [("credentials_readable", Severity.MEDIUM)]),
        (entry("/srv/.env.sample", 0o644), []),
        (entry("/srv/socket", stat.S_IFSOCK | 0o777), []),
        (entry("/srv/link", stat.S_IFLNK | 0o777), []),
    ],
)
def test_judgement(one: Entry, expected: list[tuple[str, Severity]]) -> None:
    assert judged(one, ownership=OWNED) == expected


def test_groups_that_may_read_keys() -> None:
    key = entry("/etc/ssl/private/ssl-cert-snakeoil.key", 0o640, gid=109, key=True)
    assert judged(key, Rules(key_groups=frozenset({109}))) == []
    assert judged(key) == [("private_key_readable", Severity.HIGH)]


def test_without_a_database_of_packages_only_what_is_unusual_is_told() -> None:
    assert judged(entry("/usr/bin/su", 0o4755)) == []
    assert judged(entry("/usr/bin/odd", 0o4755)) == [("setuid_unusual", Severity.HIGH)]


def test_a_mode_that_the_administrator_has_settled_is_no_weakness() -> None:
    assert judged(entry("/usr/bin/odd", 0o4755), ownership=Ownership(True, {}, frozenset({"/usr/bin/odd"}))) == []


_ENTRIES = st.builds(
    Entry,
    path=st.text(max_size=20).map(lambda name: f"/{name}"),
    mode=st.integers(0, 0o177777),
    uid=st.integers(0, 70000),
    gid=st.integers(0, 70000),
    has_user=st.booleans(),
    has_group=st.booleans(),
    capabilities=st.binary(max_size=30).map(bytes.hex),
    key=st.booleans(),
    device=st.integers(0, 9999),
)


@given(_ENTRIES)
def test_any_entry_can_be_judged_and_told(one: Entry) -> None:
    for fault in faults_of(one, Rules(), OWNED):
        assert fault.weakness().rule in RULES


def test_capabilities_by_name() -> None:
    assert capabilities("0000000200000000000000000000000000000000") == frozenset()
    assert capabilities("0100000200200000000000000000000000000000") == {"net_raw"}
    assert capabilities("0100000280000000000000000000000000000000") == {"setuid"}
    assert len(capabilities("ff")) == 41


def faults(paths: list[str], rule: str = "no_owner") -> Gathering:
    gathering = Gathering(3)
    for path in paths:
        gathering.add(Fault(rule, path, Severity.LOW))
    return gathering


def told(gathering: Gathering) -> list[str]:
    return [f"{r.directory}/ {r.number}" if isinstance(r, Heap) else r.path for r in gathering.results()]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/a/1", "/a/2", "/a/3"], ["/a/1", "/a/2", "/a/3"]),
        (["/a/1", "/a/2", "/a/3", "/a/4"], ["/a/ 4"]),
        (["/a/b/1", "/a/b/2", "/a/c/1", "/a/c/2"], ["/a/ 4"]),
        (["/a/b/1", "/a/b/2", "/a/b/3", "/a/b/4", "/a/c"], ["/a/b/ 4", "/a/c"]),
        (["/a/1", "/b/1", "/c/1", "/d/1", "/e/1"], ["/a/1", "/b/1", "/c/1", "/d/1", "/e/1"]),
        (["/1", "/2", "/3", "/4", "/a/1"], ["// 4", "/a/1"]),
        (["/a/b/c/d/1", "/a/x/1", "/a/x/2", "/a/b/1"], ["/a/ 4"]),
    ],
)
def test_gathering(paths: list[str], expected: list[str]) -> None:
    assert told(faults(paths)) == expected
    assert told(faults(paths[::-1])) == expected


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(lambda names: "/" + "/".join(names))))
def test_no_fault_is_lost_in_heaps(paths: list[str]) -> None:
    results = faults(paths).results()
    assert sum(r.number if isinstance(r, Heap) else 1 for r in results) == len(paths)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/var/lib/docker", "/var/lib/docker", True),
        ("/var/lib/docker", "/var/lib/docker2", False),
        ("/opt/*/cache", "/opt/a/cache", True),
        ("/opt/*/cache", "/opt/a/b/cache", False),
        ("/opt/**/cache", "/opt/a/b/cache", True),
        ("/opt/**", "/opt/a\nb/c", True),
        ("node_modules", "/a/b/node_modules", True),
        (".git/objects", "/a/.git/objects", True),
        (".git/objects", "/a/x.git/objects", False),
        ("*.pyc", "/a/b.pyc", True),
        ("a.b", "/axb", False),
    ],
)
def test_patterns_of_paths(pattern: str, path: str, matches: bool) -> None:
    import re

    assert bool(re.fullmatch(translate(pattern), path, re.DOTALL)) == matches


def test_paths_are_shown_on_one_line_and_no_two_alike() -> None:
    names = [b"caf\xc3\xa9", b"caf\xe9", b"caf\\xe9", b"a\nb", b"a\\u000ab", b"\x1b[31m", b"\xc2\x80", b"\x80", b"a b"]
    texts = [shown(os.fsdecode(b"/" + name)) for name in names]
    assert texts[:2] == ["/café", "/caf\\xe9"]
    assert len(set(texts)) == len(names)
    assert all(text.isprintable() for text in texts)
    long = [shown(f"/{'a' * 3000}{letter}{'a' * 3000}") for letter in "bc"]
    assert len(set(long)) == 2
    assert max(map(len, long)) < 1100


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_shown_paths_differ_where_paths_do(one: bytes, other: bytes) -> None:
    assert (shown(os.fsdecode(one)) == shown(os.fsdecode(other))) == (one == other)


def test_roots_within_another_are_not_walked_twice() -> None:
    import re

    nothing, docker = re.compile(r"(?!)"), re.compile("/var/lib/docker")
    assert outermost(["/opt", "/opt/app", "/op"], [], nothing) == ["/op", "/opt"]
    assert outermost(["/", "/opt/app"], ["/opt"], nothing) == ["/", "/opt/app"]
    assert outermost(["/", "/var/lib/docker/x"], [], docker) == ["/", "/var/lib/docker/x"]


def test_scopes_differ(tmp_path: Path) -> None:
    mounts = Mounts(["/", "/data"], ["/srv"], ["/", "/data", "/proc", "/srv"])
    settings = FileSystemSettings()
    full = checked(settings, tmp_path, mounts, full=True)
    assert (full.roots[0], "/proc" in full.skipped, "/" in full.skipped) == ("/", True, False)
    standard = checked(settings, tmp_path, mounts, full=False).roots
    assert ("/etc" in standard, "/srv" in standard) == (True, False)
    assert searched(settings, tmp_path, mounts, full=False).roots == [str(tmp_path)]
    assert "/etc" in searched(settings, tmp_path, mounts, full=True).roots
    assert f"{tmp_path}/secrets_secure" in searched(settings, tmp_path, mounts, full=False).skipped


def test_settings_that_went_into_a_run_mean_the_same(tmp_path: Path) -> None:
    # A run gets all of them as JSON: none may count as configured for having a value.
    mounts = Mounts(["/"], [], ["/"])
    settings = FileSystemSettings()
    sent = FileSystemSettings.model_validate_json(settings.model_dump_json())
    for full in (True, False):
        assert searched(sent, tmp_path, mounts, full=full) == searched(settings, tmp_path, mounts, full=full)
        assert checked(sent, tmp_path, mounts, full=full) == checked(settings, tmp_path, mounts, full=full)
    assert [root for root in searched(sent, tmp_path, mounts, full=True).roots if not Path(root).is_dir()] == []


def test_this_machines_mount_points_are_known() -> None:
    assert {"/", "/proc"} <= set(mount_points())


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cron.d/x", "*/5 * * * * root /opt/a.sh -f /x/y >/dev/null\n", ["/opt/a.sh", "/x/y", "/dev/null"]),
        (
            "cron.d/x",
            "5 4 * * * www /opt/a.sh\n# 1 2 3 4 5 root /opt/b\nPATH=/usr/bin\n@daily root /opt/c\n",
            ["/opt/c"],
        ),
        ("crontabs/root", "5 4 * * mon-fri /opt/a.sh && /opt/b.sh\n", ["/opt/a.sh", "/opt/b.sh"]),
        (
            "x.service",
            "[Service]\nExecStart=-/opt/run --x=1 /opt/b.py\nExecStop = /opt/stop\n",
            ["/opt/run", "/opt/b.py", "/opt/stop"],
        ),
        ("x.service", "[Service]\nUser=www\nExecStart=/opt/run\n", []),
        ("x.service", "[Service]\nUser=root\nExecStart=!/opt/run\n", ["/opt/run"]),
        ("x.service", "[Service]\nDynamicUser=yes\nExecStart=/opt/run\n", []),
        ("x.service", "[Service]\nDocumentation=file:/opt/x\n", []),
    ],
)
def test_programs_that_root_runs(name: str, text: str, expected: list[str]) -> None:
    assert list(root_runs.named_programs(Path("/etc", name), text)) == expected


def dpkg(root: Path, **files: str) -> Packages:
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    for name, content in files.items():
        place = info if name.startswith("list_") else info.parent
        (place / (f"{name[5:]}.list" if name.startswith("list_") else name)).write_text(content)
    return Packages(root)


def test_a_path_on_a_merged_system_is_owned_by_the_name_it_was_packed_under(tmp_path: Path) -> None:
    packages = dpkg(tmp_path, list_util="/.\n/bin\n/bin/su\n", list_other="/usr/bin/x\n")
    assert packages.owners(["/usr/bin/su", "/usr/bin/x"]) == {"/usr/bin/x": "other"}
    (tmp_path / "bin").symlink_to("usr/bin")
    assert packages.owners(["/usr/bin/su", "/usr/bin/x"]) == {"/usr/bin/su": "util", "/usr/bin/x": "other"}


def test_a_diverted_path_belongs_to_whom_it_was_diverted_from(tmp_path: Path) -> None:
    packages = dpkg(
        tmp_path,
        list_old="/usr/bin/tool\n",
        list_new="/usr/bin/tool\n",
        diversions="/usr/bin/tool\n/usr/bin/tool.old\nnew\n/usr/bin/own\n/usr/bin/own.real\n:\n",
    )
    assert packages.owners(["/usr/bin/tool", "/usr/bin/tool.old"]) == {
        "/usr/bin/tool": "new",
        "/usr/bin/tool.old": "old",
    }


def test_overrides_settle_modes(tmp_path: Path) -> None:
    packages = dpkg(tmp_path, statoverride="root adm 4754 /bin/own tool\nroot root 0755 /usr/x\n")
    (tmp_path / "bin").symlink_to("usr/bin")
    assert packages.settled(["/usr/bin/own tool", "/usr/x", "/usr/y"]) == {"/usr/bin/own tool", "/usr/x"}


def test_where_there_are_no_packages_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="neither dpkg's database nor rpm's"):
        Packages(tmp_path).owners(["/x"])
    assert Packages(tmp_path).owners([]) == {}


def test_rpm_is_asked_where_it_keeps_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for rpm, which prints all files of each package that owns one, and errors for the others.
    rpm = tmp_path / "tools" / "rpm"
    rpm.parent.mkdir()
    rpm.write_text("#!/bin/sh\nprintf 'util\\t/usr/bin/su\\nutil\\t/usr/bin/more\\n'; echo 'no package' >&2; exit 1\n")
    rpm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{rpm.parent}:{os.environ['PATH']}")
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    assert Packages(tmp_path).owners(["/usr/bin/su", "/usr/bin/own"]) == {"/usr/bin/su": "util"}


def test_the_walk_starts_with_little() -> None:
    # It is started for each scan, and copied.
    script = "import sys, jobs.clients.mode_walk; print(*sys.modules)"
    done = subprocess.run(
        ["/usr/bin/env", f"PYTHONPATH={Path(__file__).parents[2]}", sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"pydantic", "subprocess", "asyncio", "typing_extensions"} & set(done.stdout.split()) == set()
