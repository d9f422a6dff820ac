"""Archives of configuration: everything that is there, nothing from behind a link, and the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from jobs.backups.archive import archive_maker, name_of
from jobs.backups.failure import BackupFailed
from jobs.backups.sink import Sink
from jobs.backups.targets import Facts

MIB = 1 << 20
SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""What `extractall` is to be told where it can be: Debian 12's Python cannot."""


def archive(base: Path, *paths: Path, max_bytes: int = MIB) -> tuple[bytes, Facts]:
    file = io.BytesIO()
    maker = archive_maker(base, paths, max_bytes=max_bytes, source="config")
    facts = maker(Sink(file, base, min_free_bytes=0), 60)
    return file.getvalue(), facts


def opened(content: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(content), mode="r:gz")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    config = tmp_path / "base" / "config"
    (config / "deep" / "deeper").mkdir(parents=True)
    (config / "b.yml").write_text("b")
    (config / "a.yml").write_text("a: 1\n")
    (config / "a.yml").chmod(0o640)
    (config / "deep" / "deeper" / "key").write_bytes(b"\0" * 100_000)
    return tmp_path / "base"


def test_files_come_back_with_their_content_mode_and_time(base: Path, tmp_path: Path) -> None:
    content, facts = archive(base, base / "config")
    with opened(content) as tar:
        tar.extractall(tmp_path / "copy", **SAFELY)
        assert tar.getmember("config/a.yml").mode == 0o640
        assert tar.getmember("config/a.yml").mtime == int((base / "config/a.yml").stat().st_mtime)
    for name, sha256 in facts.members.items():
        assert hashlib.sha256((tmp_path / "copy" / name).read_bytes()).hexdigest() == sha256
        assert (base / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()
    assert list(facts.members) == ["config/a.yml", "config/b.yml", "config/deep/deeper/key"]
    assert facts.findings == ()


def test_the_same_files_make_the_same_archive(base: Path) -> None:
    assert archive(base, base / "config")[0] == archive(base, base / "config")[0]


def test_a_link_is_kept_as_a_link_and_what_it_leads_to_outside_is_told(base: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "more").write_text("outside")
    (base / "config" / "inner").symlink_to("deep/deeper/key")
    (base / "config" / "outer").symlink_to(tmp_path / "secret")
    (base / "config" / "tree").symlink_to(tmp_path / "directory")
    content, facts = archive(base, base / "config")
    with opened(content) as tar:
        links = {member.name: member.linkname for member in tar if member.issym()}
        assert not any(b"outside" in (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.isreg())
    assert links == {
        "config/inner": "deep/deeper/key",
        "config/outer": str(tmp_path / "secret"),
        "config/tree": str(tmp_path / "directory"),
    }
    (finding,) = facts.findings
    assert finding.kind == "backup_incomplete"
    assert "config/outer" in finding.message
    assert "config/tree" in finding.message
    assert "config/inner" not in finding.message


def test_pipes_and_what_is_not_there_are_told_and_stop_nothing(base: Path, tmp_path: Path) -> None:
    os.mkfifo(base / "config" / "pipe")
    content, facts = archive(base, base / "config", tmp_path / "missing.yml")
    with opened(content) as tar:
        assert "config/pipe" not in tar.getnames()
    assert "config/pipe (no file, directory or link)" in facts.findings[0].message
    assert "missing.yml (it is not there)" in facts.findings[0].message


def test_names_are_relative_and_never_lead_out(base: Path, tmp_path: Path) -> None:
    outside = tmp_path / "etc" / "exporter.yml"
    outside.parent.mkdir()
    outside.write_text("x")
    content, facts = archive(base, base / "config", outside)
    with opened(content) as tar:
        assert all(not name.startswith("/") and ".." not in name.split("/") for name in tar.getnames())
    assert f"root{outside}" in facts.members
    assert name_of(Path("/etc/x"), base) == "root/etc/x"


def test_names_that_are_no_utf8_or_very_long_are_kept(base: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd-\xff\xfe")
    (base / "config" / odd).write_text("odd")
    (base / "config" / ("n" * 250)).write_text("long")
    content, _ = archive(base, base / "config")
    with opened(content) as tar:
        assert {f"config/{odd}", f"config/{'n' * 250}"} <= set(tar.getnames())


def test_an_archive_never_holds_the_backups(base: Path) -> None:
    (base / "backups" / "config").mkdir(parents=True)
    (base / "backups" / "config" / "old.tar.gz").write_text("old")
    _, facts = archive(base, base)
    assert list(facts.members) == ["config/a.yml", "config/b.yml", "config/deep/deeper/key"]


def test_more_than_may_go_into_one_archive_is_an_error_that_names_the_limit(base: Path) -> None:
    (base / "config" / "large").write_bytes(b"x" * 2 * MIB)
    with pytest.raises(BackupFailed, match=r"more than backup_max_archive_mb \(1 MiB\), at .*large"):
        archive(base, base / "config")


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(base: Path) -> None:
    content, facts = archive(base, base / "config")
    assert facts.members
    path = base / "config" / "a.yml"
    real_fstat = os.fstat

    def longer(descriptor: int) -> os.stat_result:
        status = real_fstat(descriptor)
        return os.stat_result((*status[:6], status.st_size + 10, *status[7:10]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fstat", longer)
        with pytest.raises(BackupFailed, match=r"a\.yml became shorter while it was read"):
            archive(base, path)
    assert content
