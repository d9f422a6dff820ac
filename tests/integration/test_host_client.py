"""What the host client says of this machine, and of file systems made for the purpose."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clients.errors import ClientError, Refused
from jobs.clients.host import Host, Mount, parse_mounts
from tests.services.binaries import need, need_root


def test_this_machine_has_sane_figures() -> None:
    host = Host()
    load, memory = host.load(), host.memory()
    assert load.cores >= 1
    assert load.per_core == load.averages[0] / load.cores >= 0
    assert 0 < memory.available_bytes < memory.total_bytes
    assert 0 < memory.used_ratio < 1
    assert host.uptime_seconds() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=10)
    assert host.name() == os.uname().nodename


def test_the_root_is_measured_as_df_measures_it() -> None:
    host = Host()
    [root] = [mount for mount in host.mounts() if mount.point == "/"]
    disk = host.disk(root)
    df = subprocess.run(["df", "--output=size,pcent", "-B1", "/"], capture_output=True, text=True, check=True)
    size, percent = df.stdout.split()[-2:]
    assert disk.size_bytes == int(size)
    assert disk.used_ratio * 100 == pytest.approx(int(percent.rstrip("%")), abs=2)


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[Path]:
    """A real ext4 of 16 MB with 64 inodes, mounted below a directory with a blank in its name."""
    need_root("mounting")
    image, point = tmp_path / "image", tmp_path / "a disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run([need("mkfs.ext4", package="e2fsprogs"), "-q", "-N", "64", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    yield point
    subprocess.run(["umount", str(point)], check=True)


def mount_of(point: Path) -> Mount:
    [found] = [mount for mount in Host().mounts() if mount.point == str(point)]
    return found


def test_a_disk_appears_once_however_often_it_is_bound(loop_disk: Path, tmp_path: Path) -> None:
    bound = tmp_path / "b"
    bound.mkdir()
    (loop_disk / "inner").mkdir()
    subprocess.run(["mount", "--bind", str(loop_disk / "inner"), str(bound)], check=True)
    try:
        points = [mount.point for mount in Host().mounts() if mount.point.startswith(str(tmp_path))]
    finally:
        subprocess.run(["umount", str(bound)], check=True)
    assert points == [str(loop_disk)]


def test_out_of_inodes_is_told_apart_from_out_of_bytes(loop_disk: Path) -> None:
    before = Host().disk(mount_of(loop_disk))
    with pytest.raises(OSError):
        for number in range(100):
            (loop_disk / str(number)).touch()
    after = Host().disk(mount_of(loop_disk))
    assert after.inodes_used_ratio == 1.0
    assert after.used_ratio == pytest.approx(before.used_ratio, abs=0.05)


def test_a_full_disk_is_full(loop_disk: Path) -> None:
    with pytest.raises(OSError), (loop_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(1 << 20))
            filler.flush()
    assert Host().disk(mount_of(loop_disk)).used_ratio > 0.95


def test_a_mount_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    gone = Mount("/gone", os.fsencode(tmp_path / "gone"), "ext4", "/dev/x", False)
    with pytest.raises(ClientError, match="/gone: No such file"):
        Host().disk(gone)


def test_a_mount_that_this_user_may_not_look_at_is_not_known_to_be_wrong(tmp_path: Path) -> None:
    """The health check takes what was refused for unknown, and what failed for broken."""
    need_root("becoming another user")
    (tmp_path / "inner").mkdir()
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(Refused, match="/closed: Permission denied"):
            Host().disk(Mount("/closed", os.fsencode(tmp_path / "inner"), "ext4", "/dev/x", False))
    finally:
        os.seteuid(0)


CONTAINER = rb"""500 400 0:60 / / rw - overlay overlay rw,lowerdir=/x
501 500 0:61 / /proc rw - proc proc rw
502 500 0:62 / /dev rw - tmpfs tmpfs rw
503 500 254:1 /var/lib/docker/containers/1/hosts /etc/hosts rw - ext4 /dev/vda1 rw
504 500 254:1 /srv/base /opt/sutazaiapp rw - ext4 /dev/vda1 rw
505 500 0:63 / /nas\040one rw - nfs4 nas:/export rw
506 500 7:1 / /snap/core ro - squashfs /dev/loop1 ro
507 500 8:1 / /old rw - ext4 /dev/sda1 rw
508 500 8:2 / /old rw - xfs /dev/sdb1 ro
509 500 0:64 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw
510 500 8:3 / /bad\377name rw shared:1 master:2 - ext4 /dev/sdc1 rw
"""


def test_only_real_file_systems_are_taken_each_once() -> None:
    mounts = parse_mounts(CONTAINER)
    assert [(mount.point, mount.kind) for mount in mounts] == [
        ("/", "overlay"),
        ("/bad\N{REPLACEMENT CHARACTER}name", "ext4"),
        ("/nas one", "nfs4"),
        ("/old", "xfs"),
        ("/opt/sutazaiapp", "ext4"),
    ]
    assert {mount.point: mount.path for mount in mounts}["/bad\N{REPLACEMENT CHARACTER}name"] == b"/bad\xffname"
    assert [mount.point for mount in mounts if mount.read_only] == ["/old"]


def test_big_logs_are_found_below_without_following_links(tmp_path: Path) -> None:
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    (logs / "deep" / "er").mkdir(parents=True)
    elsewhere.mkdir()
    for path, size in [
        (logs / "small.log", 10),
        (logs / "big.log", 2000),
        (logs / "deep" / "er" / "bigger.log", 3000),
        (logs / "big.txt", 9000),
        (elsewhere / "outside.log", 9000),
    ]:
        path.write_bytes(bytes(size))
    (logs / "link.log").symlink_to(elsewhere / "outside.log")
    (logs / "link").symlink_to(elsewhere)
    (logs / "loop").symlink_to(logs)
    os.mkfifo(logs / "pipe.log")
    found = Host().big_logs([logs, logs / "deep"], 1000)
    assert found.files == ((str(logs / "deep/er/bigger.log"), 3000), (str(logs / "big.log"), 2000))
    assert (found.missing, found.unreadable) == ((), ())


def test_a_log_with_an_undecodable_name_can_be_shown(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"bad\xff.log"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(bytes(20))
    [(name, size)] = Host().big_logs([tmp_path], 10).files
    assert (name.encode(), size) == (f"{tmp_path}/bad\N{REPLACEMENT CHARACTER}.log".encode(), 20)


def test_directories_that_cannot_be_looked_at_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = Host().big_logs([tmp_path / "none", tmp_path / "file"], 10)
    assert found.missing == (str(tmp_path / "none"), str(tmp_path / "file"))


def test_directories_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    need_root("becoming another user")
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "inner").mkdir()
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        found = Host().big_logs([tmp_path, tmp_path / "locked" / "inner"], 10)
    finally:
        os.seteuid(0)
    assert found.unreadable == (f"{tmp_path}/locked/inner: Permission denied", f"{tmp_path}: Permission denied")
    assert found.missing == ()
