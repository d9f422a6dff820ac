"""The machine's clock knows the clock changes of its zone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.services.exporter_daemon import REPOSITORY

OFFSETS = """
from datetime import datetime
from exporter.clock import SystemClock
zone = SystemClock().now().tzinfo
print(*(int(datetime(2026, month, 1, tzinfo=zone).utcoffset().total_seconds()) for month in (1, 7)))
"""


@pytest.mark.parametrize(
    ("zone", "offsets"),
    [("Europe/Berlin", "3600 7200"), (":America/St_Johns", "-12600 -9000"), ("UTC", "0 0"), ("No/Where", "0 0")],
)
def test_the_zone_of_TZ_with_its_summer_time(zone: str, offsets: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFSETS],
        env=os.environ | {"TZ": zone, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == offsets
