"""What installing knows of files: whose they are, and where node-exporter reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.install.accounts import Account, may_reach, may_write_to
from exporter.install.legacy import is_guides_unit
from exporter.install.marker import Whose, marked, whose
from exporter.install.textfile_directory import Found, find


def test_a_file_is_ours_as_long_as_no_byte_of_it_was_changed() -> None:
    content = marked("[Unit]\nDescription=é\n")
    assert whose(content) is Whose.OURS
    assert whose(None) is Whose.NOBODYS
    for other in (content + b"\n", content.replace(b"Unit", b"unit"), content[:-1]):
        assert whose(other) is Whose.CHANGED
    for other in (b"", b"\n" + content, content.partition(b"\n")[2], b"# Written by sutazai-exporter\n[Unit]\n"):
        assert whose(other) is Whose.OTHERS


def test_units_of_the_guide_are_known_by_name_and_content() -> None:
    content = b"[Unit]\nDescription=SutazAI Automation - sutazai-health-check\n"
    assert is_guides_unit("sutazai-health-check.service", content)
    assert is_guides_unit("sutazai-db-maintenance.timer", content.replace(b"=S", b"=Timer for S"))
    assert not is_guides_unit("sutazai-mine.service", content)
    assert not is_guides_unit("sutazai-health-check.service", b"[Unit]\nDescription=mine\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc"


def process(proc: Path, pid: int, *arguments: str) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes(b"\0".join(word.encode() for word in arguments) + b"\0")


def defaults(root: Path, text: str) -> None:
    (root / "etc/default").mkdir(parents=True)
    (root / "etc/default/prometheus-node-exporter").write_text(text)


def test_a_running_node_exporter_is_believed_first(tmp_path: Path, proc: Path) -> None:
    process(proc, 7, "/usr/bin/grep", "--collector.textfile.directory=/wrong")
    process(proc, 8, "/usr/bin/prometheus-node-exporter", "--collector.textfile.directory", "/a b")
    defaults(tmp_path, 'ARGS="--collector.textfile.directory=/other"')
    assert find(tmp_path, proc) == Found(Path("/a b"), "node-exporter (pid 8) reads it")


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ('ARGS="--web.listen-address=:1 --collector.textfile.directory=/srv/t --x"', "/srv/t"),
        ("ARGS='-collector.textfile.directory /srv/t'", "/srv/t"),
        ('# ARGS="--collector.textfile.directory=/no"\nARGS="--collector.textfile.directory \'/s t\'"', "/s t"),
        ('ARGS="--collector.textfile.directory=relative"', None),
        ('ARGS="--collector.textfile.directory=', None),
        ('ARGS=""', None),
    ],
)
def test_debians_defaults_file_is_read_as_a_shell_reads_it(
    tmp_path: Path, proc: Path, text: str, directory: str | None
) -> None:
    defaults(tmp_path, text)
    found = find(tmp_path, proc)
    assert (found and str(found.directory)) == directory
    (tmp_path / "var/lib/prometheus/node-exporter").mkdir(parents=True)
    found = find(tmp_path, proc)
    assert found is not None
    assert str(found.directory) == (directory or str(tmp_path / "var/lib/prometheus/node-exporter"))


def test_permissions_are_judged_for_somebody_else(tmp_path: Path) -> None:
    for above in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        above.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o750)
    here = place.stat()
    owner, member = Account("o", here.st_uid or 61000), Account("m", 61001, frozenset({here.st_gid}))
    stranger = Account("s", 61002)
    if os.geteuid() == 0:
        os.chown(place, 61000, here.st_gid)
    assert [may_write_to(who, place) for who in (Account("root", 0), owner, member, stranger)] == [
        True,
        True,
        False,
        False,
    ]
    place.chmod(0o770)
    assert may_write_to(member, place)
    assert may_reach(member, place / "file")
    assert not may_reach(stranger, place / "file")
    place.chmod(0o077)
    assert not may_write_to(owner, place)
