"""What containers use, from their cgroups and from the engine, against what `docker stats` says of the same ones."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clients.cgroups import Cgroups
from jobs.clients.docker import DockerEngine as DockerClient
from jobs.clients.docker import NoSuchContainer
from jobs.core.settings import DockerSettings
from jobs.core.usage import Usage
from jobs.performance import series
from jobs.performance.sampling.containers import measure
from jobs.performance.sampling.sampled import Sampled
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.sampling_runs import SamplingRuns, figure, figures, gap
from tests.services.wait import wait_for

MIB = 1 << 20
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
HOLDS_64_MIB = "dd if=/dev/zero bs=64M count=1 | sleep 1000"
WRITES_8_MIB = "dd if=/dev/zero of=/file bs=1M count=8 oflag=direct; sleep 1000"


def docker_stats(engine: DockerEngine) -> dict[str, dict[str, str]]:
    lines = engine.cli("stats", "--no-stream", "--format", "{{json .}}").splitlines()
    return {one["Name"]: one for one in map(json.loads, lines)}


def in_bytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text.strip())
    assert match, text
    return float(match[1]) * UNITS[match[2]]


def disk_below(directory: Path) -> str:
    """The whole disk that a directory is on."""
    number = directory.stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    return f"/dev/{(place.parent if (place / 'partition').exists() else place).name}"


@pytest.fixture(scope="module")
def busy(docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """An engine with one container for each thing that is measured, and one that has ended."""
    docker_engine.clean()
    docker_engine.run(AGENT_IMAGE, "burner", command=["sh", "-c", "yes > /dev/null"])
    docker_engine.run(AGENT_IMAGE, "holder", command=["sh", "-c", HOLDS_64_MIB], mem_limit="128m")
    # A limit that is never reached: without one, Linux 6.10 does not count under version 1.
    limit = [{"Path": disk_below(docker_engine.directory), "Rate": 1 << 30}]
    docker_engine.run(AGENT_IMAGE, "writer", command=["sh", "-c", WRITES_8_MIB], device_write_bps=limit)
    docker_engine.run(
        AGENT_IMAGE,
        "restarting",
        command=["sh", "-c", "exit 3"],
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    )
    wait_for(lambda: docker_engine.state("restarting")["Status"] == "exited", 30, "it has given up")
    holder = docker_engine.client.containers.get("holder").id
    wait_for(lambda: (Cgroups().usage({holder})[holder].memory_bytes or 0) > 64 * MIB, 30, "it holds its memory")
    yield docker_engine
    docker_engine.clean()


@pytest.fixture(scope="module")
def stats(busy: DockerEngine) -> dict[str, dict[str, str]]:
    """What `docker stats` says."""
    return docker_stats(busy)


@pytest.fixture(scope="module")
def sampled(busy: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    """One sample, the first: rates were measured over a second."""
    return SamplingRuns(tmp_path_factory.mktemp("base"), docker={"url": busy.url}).sample()


def test_cpu_is_what_docker_stats_sees(stats: dict[str, dict[str, str]], sampled: Sampled) -> None:
    cores = figures(sampled, series.CONTAINER_CPU)
    theirs = {name: float(one["CPUPerc"].rstrip("%")) / 100 for name, one in stats.items()}
    assert cores.keys() == {("burner",), ("holder",), ("writer",)}
    # Two looks at different seconds of a machine that has other work, which leaves it more or less of a core.
    assert 0.02 < cores[("burner",)] < 2 and 0.02 < theirs["burner"] < 2
    assert cores[("holder",)] < 0.05 and theirs["holder"] < 0.05


def test_memory_and_its_limit_are_those_of_docker_stats(stats: dict[str, dict[str, str]], sampled: Sampled) -> None:
    used, limit = map(in_bytes, stats["holder"]["MemUsage"].split("/"))
    assert figure(sampled, series.CONTAINER_MEMORY, "holder") == pytest.approx(used, rel=0.02)
    assert limit == 128 * MIB
    assert figure(sampled, series.CONTAINER_MEMORY_SHARE, "holder") == pytest.approx(used / limit, rel=0.02)


def test_without_a_limit_there_is_no_share_of_it(sampled: Sampled) -> None:
    assert figure(sampled, series.CONTAINER_MEMORY, "burner") is not None
    assert figures(sampled, series.CONTAINER_MEMORY_SHARE).keys() == {("holder",)}


def test_a_container_that_has_ended_has_its_restarts_and_nothing_else(sampled: Sampled) -> None:
    mine = {f.kind.name: f.value for f in sampled.figures if f.labels == ("restarting",)}
    assert mine == {"container_restarts": 2}
    assert figure(sampled, series.CONTAINER_RESTARTS, "burner") == 0


def test_the_section_tells_units_and_states(sampled: Sampled) -> None:
    section = sampled.sections["container_metrics"]
    assert (section["total"], section["running"]) == (4, 3)
    assert section["containers"]["restarting"]["state"] == "exited"
    assert section["containers"]["holder"]["memory_bytes"] > 64 * MIB


def test_the_engine_tells_the_same_as_the_cgroup(busy: DockerEngine) -> None:
    client = DockerClient(DockerSettings(url=busy.url))
    ids = {c.name: c.id for c in client.containers() if c.state == "running"}
    theirs = {name: client.usage(one, client.memory_bytes()) for name, one in ids.items()}
    ours = Cgroups().usage(set(ids.values()))
    for name, one in ids.items():
        mine, told = ours[one], theirs[name]
        assert mine.memory_bytes == pytest.approx(told.memory_bytes, rel=0.05, abs=200_000)
        assert mine.limit_bytes == told.limit_bytes
        assert (mine.cpu_seconds or 0) >= (told.cpu_seconds or 0) > 0
    assert theirs["holder"].limit_bytes == 128 * MIB
    assert theirs["burner"].limit_bytes is None


def test_writes_are_counted_in_bytes(busy: DockerEngine) -> None:
    client, one = DockerClient(DockerSettings(url=busy.url)), str(busy.client.containers.get("writer").id)
    wait_for(lambda: Cgroups().usage({one})[one].written_bytes, 30, "it has written")
    assert (
        Cgroups().usage({one})[one].written_bytes == client.usage(one, client.memory_bytes()).written_bytes == 8 * MIB
    )


def test_what_cgroups_do_not_show_the_engine_is_asked_for(busy: DockerEngine, tmp_path: Path) -> None:
    """As from inside a container, or for an engine on another machine."""
    runs = SamplingRuns(tmp_path, docker={"url": busy.url})
    clients = runs.clients()
    (tmp_path / "mountinfo").write_text("")
    clients.cgroups = Cgroups(tmp_path / "mountinfo")
    part = measure(clients, None, 100)
    found = {(f.kind.name, f.labels[0]): f.value for f in part.figures}
    assert found[("container_cpu_cores", "burner")] > 0.1
    assert found[("container_memory_bytes", "holder")] > 64 * MIB
    assert ("container_memory_limit_ratio", "burner") not in found
    assert part.gaps == ()


def test_a_container_that_goes_between_the_list_and_the_look_is_no_error(busy: DockerEngine, tmp_path: Path) -> None:
    doomed = busy.run(AGENT_IMAGE, "doomed", command=["sleep", "1000"])
    clients = SamplingRuns(tmp_path, docker={"url": busy.url}).clients()
    listed = clients.docker.containers()
    doomed.remove(force=True)
    clients.docker.containers = lambda: listed  # type: ignore[method-assign]
    part = measure(clients, None, 100)
    assert part.gaps == ()
    assert [f for f in part.figures if f.labels == ("doomed",)] == []
    with pytest.raises(NoSuchContainer):
        clients.docker.usage(str(doomed.id), 1 << 40)


def test_more_containers_than_are_measured_are_said(busy: DockerEngine, tmp_path: Path) -> None:
    sampled = SamplingRuns(tmp_path, docker={"url": busy.url}).sample(max_containers=2)
    told = gap(sampled, "containers")
    assert told is not None and told.reason == "2 containers are not measured; raise max_containers" and not told.absent
    assert figures(sampled, series.CONTAINER_RESTARTS).keys() == {("burner",), ("holder",)}


def test_the_second_sample_measures_since_the_first(busy: DockerEngine, tmp_path: Path) -> None:
    runs = SamplingRuns(tmp_path, docker={"url": busy.url})
    runs.sample()
    runs.age(1000)
    cores = figure(runs.sample(), series.CONTAINER_CPU, "burner")
    assert cores is not None and cores < 0.05  # a second or so of CPU, spread over a thousand


def test_usage_has_no_unit_to_lose() -> None:
    used = Usage(1.5, 512 * MIB, 1536 * MIB, 0, 0)
    assert used.limit_ratio == pytest.approx(1 / 3)  # 512MiB / 1.5GiB
