"""What is read from cgroups of both versions and all layouts; the trees are those of hosts that cannot be had here.

CPU time of version 2 is read from a real group as well: its hierarchy is mounted on hosts of version 1, too, without
controllers for memory and disks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clients.cgroups import Cgroups, parse_hierarchies
from jobs.core.usage import Usage, limited, parse_stats, working_set_bytes
from tests.services.binaries import need_root
from tests.services.wait import wait_for

ID = "1f" * 32
OTHER = "2e" * 32
MIB = 1 << 20

V2_FILES = {
    "cpu.stat": "usage_usec 5123456\nuser_usec 4000000\nsystem_usec 1123456\nnr_periods 0\nnr_throttled 0\n",
    "memory.current": f"{300 * MIB}\n",
    "memory.stat": f"anon {200 * MIB}\nfile {90 * MIB}\ninactive_file {44 * MIB}\nactive_file {46 * MIB}\n",
    "memory.max": f"{512 * MIB}\n",
    "io.stat": "254:0 rbytes=1000 wbytes=2000 rios=1 wios=2 dbytes=9 dios=1\n8:0 rbytes=5 wbytes=7 rios=1 wios=1\n",
}
"""As on Debian 12 with Docker 24."""

V1_FILES = {
    "cpuacct": {"cpuacct.usage": "5123456000\n"},
    "memory": {
        "memory.usage_in_bytes": f"{300 * MIB}\n",
        "memory.stat": f"cache 1\ninactive_file 5\nhierarchical_memory_limit 9223372036854771712\n"
        f"hierarchical_memsw_limit 5\ntotal_inactive_file {44 * MIB}\n",
    },
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": "Total 0\n",
        "blkio.bfq.io_service_bytes_recursive": "8:0 Read 1005\n8:0 Write 2007\n8:0 Total 3012\nTotal 3012\n",
    },
}


def group(place: Path, files: dict[str, str]) -> Path:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_text(content)
    return place


def v2(tmp_path: Path) -> Cgroups:
    root = tmp_path / "cgroup"
    root.mkdir(exist_ok=True)
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"31 23 0:28 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    return Cgroups(mountinfo)


def v1(tmp_path: Path) -> Cgroups:
    mountinfo = tmp_path / "mountinfo"
    lines = [f"31 23 0:28 / {tmp_path} rw - tmpfs tmpfs rw", f"32 31 0:9 / {tmp_path}/unified rw - cgroup2 cgroup2 rw"]
    places = {"cpu,cpuacct": "cpuacct", "memory": "memory", "blkio": "blkio", "name=systemd": "systemd"}
    lines += [f"33 31 0:29 / {tmp_path}/{place} rw - cgroup cgroup rw,{options}" for options, place in places.items()]
    mountinfo.write_text("\n".join(lines) + "\n")
    return Cgroups(mountinfo)


LAYOUTS = {
    "systemd": f"system.slice/docker-{ID}.scope",
    "cgroupfs": f"docker/{ID}",
    "parent of one's own": f"stack/agents/{ID}",
    "rootless": f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
    "below the exporter's own container": f"docker/{OTHER[:12]}/docker/{ID}",
    "kubernetes": f"kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/docker-{ID}.scope",
    "containerd's": f"system.slice/cri-{ID}.scope",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_group_of_version_2_is_found_wherever_it_is(tmp_path: Path, layout: str) -> None:
    group(tmp_path / "cgroup" / layout, V2_FILES)
    assert v2(tmp_path).usage({ID}) == {ID: Usage(5.123456, 256 * MIB, 512 * MIB, 1005, 2007)}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_group_of_version_1_is_found_wherever_it_is(tmp_path: Path, layout: str) -> None:
    for controller, files in V1_FILES.items():
        group(tmp_path / controller / layout, files)
    # The disks' scheduler counts, as the root of the hierarchy shows.
    (tmp_path / "blkio" / "blkio.bfq.io_service_bytes_recursive").write_text("8:0 Read 9\nTotal 9\n")
    assert v1(tmp_path).usage({ID}) == {ID: Usage(5.123456, 256 * MIB, None, 1005, 2007)}


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    group(tmp_path / "cgroup" / "docker" / ID, {**V2_FILES, "memory.max": "max\n"})
    used = v2(tmp_path).usage({ID})[ID]
    assert used.limit_bytes is None
    assert used.limit_ratio is None


def test_a_host_without_some_controllers_tells_the_others(tmp_path: Path) -> None:
    group(tmp_path / "cgroup" / "docker" / ID, {"cpu.stat": V2_FILES["cpu.stat"]})
    assert v2(tmp_path).usage({ID}) == {ID: Usage(5.123456, None, None, None, None)}


def test_what_is_not_there_is_not_there(tmp_path: Path) -> None:
    group(tmp_path / "cgroup" / "docker" / OTHER, V2_FILES)
    (tmp_path / "cgroup" / "docker" / ID).mkdir()  # a group that is just going away
    assert v2(tmp_path).usage({ID}) == {}
    assert v2(tmp_path).usage(set()) == {}


def test_a_machine_without_cgroups_shows_none(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("23 1 254:0 / / rw - ext4 /dev/vda rw\n")
    assert Cgroups(tmp_path / "mountinfo").usage({ID}) == {}


@pytest.mark.parametrize(
    "content", ["", "max", "-5\n", "1e9\n", "usage_usec\n", "usage_usec -1\n", "\x00\xff", "²\n", "9" * 70000]
)
def test_files_that_hold_something_else_are_not_believed(tmp_path: Path, content: str) -> None:
    group(tmp_path / "cgroup" / "docker" / ID, {**V2_FILES, "memory.current": content, "cpu.stat": content})
    assert v2(tmp_path).usage({ID}) in ({}, {ID: Usage(None, None, 512 * MIB, 1005, 2007)})


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    place = group(tmp_path / "cgroup" / "docker" / ID, V2_FILES)
    (place / "memory.current").unlink()
    (place / "memory.current").symlink_to(tmp_path / "mountinfo")
    assert v2(tmp_path).usage({ID})[ID].memory_bytes is None


def test_many_groups_are_looked_through_once(tmp_path: Path) -> None:
    ids = {f"{number:064x}" for number in range(300)}
    for one in ids:
        group(tmp_path / "cgroup" / "a" / "b" / one, V2_FILES)
    cgroups = v2(tmp_path)
    assert cgroups.usage(ids).keys() == ids
    assert cgroups.usage(ids).keys() == ids


def test_version_1_counts_where_its_controllers_are_mounted() -> None:
    both = b"1 2 0:1 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n3 2 0:2 / /m rw - cgroup x rw,memory\ngarbage\n\n"
    found = parse_hierarchies(both)
    assert found.controllers == {"memory": Path("/m")}
    assert found.roots == [Path("/m")]


@pytest.fixture
def real_v2_group() -> Iterator[Path]:
    need_root("a cgroup")
    root = parse_hierarchies(Path("/proc/self/mountinfo").read_bytes()).unified
    if root is None:
        pytest.skip("no cgroup2 is mounted")
    place = root / "sutazai-test" / ID
    place.mkdir(parents=True)
    yield place
    wait_for(lambda: not (place / "cgroup.procs").read_text(), 30, "the group is empty")
    place.rmdir()
    place.parent.rmdir()


def test_cpu_time_of_a_real_group_of_version_2(real_v2_group: Path, tmp_path: Path) -> None:
    root = real_v2_group.parent.parent
    (tmp_path / "mountinfo").write_text(f"31 23 0:28 / {root} rw - cgroup2 cgroup2 rw\n")
    script = 'echo $$ > "$0/cgroup.procs"; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
    subprocess.run(["sh", "-c", script, str(real_v2_group)], check=True, timeout=60)
    seconds = Cgroups(tmp_path / "mountinfo").usage({ID})[ID].cpu_seconds
    assert seconds is not None and 0 < seconds < 60


# --- the engine's statistics ---

STATS = {
    "cpu_stats": {"cpu_usage": {"total_usage": 5123456000}},
    "memory_stats": {"usage": 300 * MIB, "limit": 1536 * MIB, "stats": {"inactive_file": 44 * MIB}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "read", "value": 1005},
            {"major": 8, "minor": 0, "op": "write", "value": 2007},
            {"major": 8, "minor": 0, "op": "total", "value": 3012},
        ]
    },
}


def test_the_engine_tells_the_same_of_both_versions() -> None:
    expected = Usage(5.123456, 256 * MIB, 1536 * MIB, 1005, 2007)
    assert parse_stats(STATS, 4096 * MIB) == expected
    old = {**STATS["memory_stats"], "stats": {"inactive_file": 1, "total_inactive_file": 44 * MIB}}
    assert parse_stats({**STATS, "memory_stats": old}, 4096 * MIB) == expected


def test_a_limit_of_the_whole_machine_is_none() -> None:
    assert parse_stats(STATS, 1536 * MIB).limit_bytes is None
    assert limited(9223372036854771712) is None
    assert limited(0) is None


def test_a_container_that_has_just_ended_uses_nothing() -> None:
    ended = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}, "blkio_stats": None}
    assert parse_stats(ended, MIB) == Usage(0.0, None, None, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        [], "x", {"memory_stats": []}, {"memory_stats": {"usage": "512MiB"}}, {"cpu_stats": {"cpu_usage": 5}},
        {"cpu_stats": {"cpu_usage": {"total_usage": float("nan")}}}, {"memory_stats": {"usage": -1}},
        {"memory_stats": {"usage": True}}, {"blkio_stats": {"io_service_bytes_recursive": [5]}},
    ],
)  # fmt: skip
def test_statistics_of_another_shape_are_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_stats(answer, MIB)


def test_cache_beyond_the_usage_is_not_taken_off() -> None:
    assert working_set_bytes(5, 7) == 5
