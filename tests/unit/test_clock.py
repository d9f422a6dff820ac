"""The machine's clock knows the clock changes of its zone."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from exporter import clock
from tests.services.exporter_daemon import REPOSITORY

OFFSETS = """
from datetime import datetime
from exporter.clock import SystemClock, zone_called, zone_name
now = SystemClock().now()
for zone in (now.tzinfo, zone_called(zone_name(now))):
    print(*(int(datetime(2026, month, 1, tzinfo=zone).utcoffset().total_seconds()) for month in (1, 7)))
"""


@pytest.mark.parametrize(
    ("zone", "offsets"),
    [("Europe/Berlin", "3600 7200"), (":America/St_Johns", "-12600 -9000"), ("UTC", "0 0"), ("No/Where", "0 0"),
     ("NPT-5:45", "20700 20700")],
)  # fmt: skip
def test_the_zone_of_TZ_with_its_summer_time_and_that_of_its_name(zone: str, offsets: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFSETS],
        env=os.environ | {"TZ": zone, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [offsets, offsets]


@pytest.mark.parametrize(("is_link", "name"), [(True, "Europe/Berlin"), (False, "localtime")])
def test_the_zone_of_the_machine_by_the_name_of_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_link: bool, name: str
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link, original = tmp_path / "etc-localtime", Path("/usr/share/zoneinfo/Europe/Berlin")
    if is_link:
        link.symlink_to(original)
    else:
        link.write_bytes(original.read_bytes())
    monkeypatch.setattr(clock, "_LOCAL_FILE", link)
    zone = clock.local_zone.__wrapped__()  # what it remembers is this machine's own
    summer = datetime(2026, 7, 1, tzinfo=zone)
    assert clock.zone_name(summer) == name
    assert summer.astimezone(clock.zone_called(name)).utcoffset() == timedelta(hours=2)
    if not is_link:
        link.unlink()
        assert clock.zone_called(name) is None
