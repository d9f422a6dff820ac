"""What the kernel's counters amount to: modes, disks, interfaces, pressure, and what happens when they go back."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.clients.errors import ClientError
from jobs.clients.host_figures import (
    BUSY,
    CPU,
    ERRORS,
    FULL_PRESSURE,
    MAX_DEVICES,
    PRESSURE,
    READ,
    RECEIVED,
    SENT,
    WRITTEN,
    HostFigures,
    parse_cpu,
    parse_diskstats,
    parse_net_dev,
    parse_pressure,
)
from jobs.performance.sampling.host import cpu_figures, steady
from jobs.performance.sampling.part import Reading, grown, per_second, two_readings

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 99 1 0 0 0 0 0 0 99 1 0 0 0 0 0 0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
veth12ab: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
docker0: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
br-0123456789ab: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
br-lan:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0
wlp3s0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
"""
DISKSTATS = """   7       0 loop0 22593 878 3085014 7550 88285 176057 5651865 78562 0 79660 150000
 259       0 nvme0n1 10 0 2048 5 20 0 4096 6 0 1500 11 0 0 0 0 1 1
 259       1 nvme0n1p1 10 0 2048 5 20 0 4096 6 0 1500 11
   8       0 sda 1 0 8 5 2 0 16 6 0 250 11
"""


def test_cpu_time_by_mode_leaves_guests_out() -> None:
    stat = "cpu  100 50 25 800 10 1 2 3 40 5\ncpu0 1 2 3 4\n"
    assert parse_cpu(stat, 100) == {
        "user": 1.0, "nice": 0.5, "system": 0.25, "idle": 8.0, "iowait": 0.1, "irq": 0.01, "softirq": 0.02,
        "steal": 0.03,
    }  # fmt: skip


@pytest.mark.parametrize("stat", ["", "cpu", "intr 5 6 7 8", "cpu 1 2"])
def test_a_stat_of_another_shape_is_refused(stat: str) -> None:
    with pytest.raises(ClientError, match="CPU's times"):
        parse_cpu(stat, 100)


def test_shares_add_up_and_waiting_is_not_using() -> None:
    found = {f.labels or f.kind.name: f.value for f in cpu_figures({"user": 1.0, "idle": 2.5, "iowait": 0.5})}
    assert found["host_cpu_used_ratio"] == pytest.approx(0.25)
    assert sum(value for labels, value in found.items() if isinstance(labels, tuple)) == pytest.approx(1)


def test_no_time_has_passed_is_no_figure() -> None:
    assert cpu_figures({"user": 0.0, "idle": 0.0}) == []
    assert cpu_figures({}) == []


def test_disks_count_in_sectors_of_512_bytes_and_partitions_do_not_count() -> None:
    found = parse_diskstats(DISKSTATS, {"nvme0n1", "sda"})
    assert found == {
        READ: {"nvme0n1": 2048 * 512, "sda": 8 * 512},
        WRITTEN: {"nvme0n1": 4096 * 512, "sda": 16 * 512},
        BUSY: {"nvme0n1": 1.5, "sda": 0.25},
    }


def test_real_interfaces_only_with_errors_and_drops_of_both_ways() -> None:
    found = parse_net_dev(NET_DEV)
    assert found[RECEIVED] == {"eth0": 1000, "br-lan": 7, "wlp3s0": 1}
    assert found[SENT] == {"eth0": 2000, "br-lan": 8, "wlp3s0": 1}
    assert found[ERRORS]["eth0"] == 10


def test_devices_and_interfaces_are_bounded() -> None:
    head = "\n".join(NET_DEV.splitlines()[:2])
    many = "\n".join(f"eth{number}: " + "1 " * 16 for number in range(500))
    assert len(parse_net_dev(f"{head}\n{many}\n")[RECEIVED]) == MAX_DEVICES
    disks = "\n".join(f"8 0 sd{number} " + "1 " * 11 for number in range(500))
    assert len(parse_diskstats(disks, {f"sd{number}" for number in range(500)})[READ]) == MAX_DEVICES


def test_pressure_is_seconds_waited_by_some_and_by_all() -> None:
    text = "some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n"
    found = parse_pressure({"memory": text, "cpu": text.splitlines()[0] + "\n", "io": "nonsense"})
    assert found == {PRESSURE: {"memory": 2.5, "cpu": 2.5}, FULL_PRESSURE: {"memory": 0.5}}


def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "net").mkdir(parents=True)
    (tmp_path / "proc" / "stat").write_text("cpu  100 50 25 800 10 1 2 3 40 5\n")
    (tmp_path / "proc" / "diskstats").write_text(DISKSTATS)
    (tmp_path / "proc" / "net" / "dev").write_text(NET_DEV)
    for name in ("loop0", "nvme0n1", "sda", "ram0", "zram0"):
        (tmp_path / "block" / name).mkdir(parents=True)
    return tmp_path / "proc"


def test_a_kernel_that_counts_no_pressure_has_none(tmp_path: Path) -> None:
    found = HostFigures(proc(tmp_path), tmp_path / "block").counters()
    assert found[PRESSURE] == found[FULL_PRESSURE] == {}
    assert found[READ].keys() == {"nvme0n1", "sda"}


def test_a_service_that_sees_no_sys_still_has_the_rest(tmp_path: Path) -> None:
    found = HostFigures(proc(tmp_path), tmp_path / "nothing").counters()
    assert found[READ] == {}
    assert found[CPU]["idle"] > 0


def test_without_proc_it_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="stat cannot be read"):
        HostFigures(tmp_path, tmp_path).counters()


def test_this_machine_counts() -> None:
    found = HostFigures().counters()
    assert found[CPU]["user"] > 0
    assert "lo" not in found[RECEIVED]


# --- rates ---


def reading(at: float, **values: float) -> Reading:
    return Reading(at, {"x": values})


def test_rates_are_by_the_time_that_passed() -> None:
    assert per_second(reading(10, a=5, b=1), reading(30, a=25, b=1)) == {"x": {"a": 1.0, "b": 0.0}}
    assert grown(reading(10, a=5), reading(30, a=25)) == {"x": {"a": 20.0}}


def test_what_went_back_or_is_new_has_no_rate() -> None:
    assert per_second(reading(10, a=5, b=7), reading(30, a=4, c=9)) == {"x": {}}
    assert per_second(None, reading(30, a=4)) == grown(None, reading(30, a=4)) == {"x": {}}
    assert per_second(reading(30, a=1), reading(30, a=4)) == {"x": {}}


def cpu(at: float, **seconds: float) -> Reading:
    return Reading(at, {CPU: seconds})


@pytest.mark.parametrize(
    ("before", "fits"),
    [
        (cpu(1, user=5, idle=9, iowait=2), True),
        (cpu(1, user=5, idle=9, iowait=3), True),  # the kernel warns that this one may shrink
        (cpu(1, user=7, idle=9, iowait=2), False),
        (cpu(1, user=5, idle=99, iowait=2), False),
        (Reading(1, {}), False),
    ],
)
def test_counters_that_went_back_are_of_another_time(before: Reading, fits: bool) -> None:
    assert steady(before, cpu(9, user=6, idle=10, iowait=2)) is fits


def test_two_readings_are_made_where_the_last_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.performance.sampling.part.WINDOW_SECONDS", 0.0)
    made = iter([cpu(10, user=1), cpu(11, user=2), cpu(20, user=3)])
    assert two_readings(cpu(5, user=9), lambda: next(made), steady) == (cpu(10, user=1), cpu(11, user=2))
    assert two_readings(cpu(5, user=2), lambda: next(made), steady) == (cpu(5, user=2), cpu(20, user=3))
