"""What the daemon tells a service manager: the protocol of sd_notify(3), heard on a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.daemon.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@sutazai-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        heard.settimeout(30)
        yield heard, name


def test_each_state_is_one_datagram(ear: tuple[socket.socket, str]) -> None:
    heard, name = ear
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    manager = ServiceManager(environment)
    assert environment == {"HOME": "/"}
    manager.ready("serving")
    manager.reloading()
    manager.stopping()
    told = [heard.recv(4096).decode().split("\n") for _ in range(3)]
    assert told[0] == ["READY=1", "STATUS=serving"]
    assert (told[1][0], told[1][1].partition("=")[0], told[1][1].partition("=")[2].isdigit()) == (
        "RELOADING=1",
        "MONOTONIC_USEC",
        True,
    )
    assert told[2][0] == "STOPPING=1"

    async def alive() -> None:
        task = asyncio.create_task(manager.keep_alive())
        for _ in range(3):
            assert await asyncio.to_thread(heard.recv, 4096) == b"WATCHDOG=1"
        task.cancel()

    asyncio.run(alive())


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "often"},
    ],
)
def test_without_a_watchdog_for_us_nothing_is_said(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    assert manager.watchdog_seconds == 0
    asyncio.run(asyncio.wait_for(manager.keep_alive(), 30))


def test_a_manager_that_does_not_listen_stops_nobody(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("serving")
    assert "the service manager was not told" in caplog.text
