"""The performance score: what each figure costs at its limit, and that every deduction explains itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.settings import Thresholds
from jobs.performance import series
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.scoring import Loss, losses_of, score_of, verdict_of, word_of
from jobs.performance.series import Figure, Kind
from jobs.performance.settings import Settings
from jobs.performance.telling import findings_of_losses, recommendation

MEMORY, DISK, LOAD, AGENTS = series.MEMORY, series.DISK, series.LOAD, series.AGENTS_HEALTHY
CACHE, CONNECTIONS = series.POSTGRES_CACHE, series.POSTGRES_CONNECTIONS
LABELS = {DISK: ("/",), CACHE: ("main", "app"), CONNECTIONS: ("main",)}


def figure(kind: Kind, value: float, *labels: str) -> Figure:
    return Figure(kind, value, labels or LABELS.get(kind, ()))


def losses(
    *figures: Figure, gaps: tuple[Gap, ...] = (), settings: Settings | None = None, **thresholds: float
) -> list[Loss]:
    return losses_of(Sampled(figures=figures, gaps=gaps), settings or Settings(), Thresholds(**thresholds))


def points(found: list[Loss]) -> dict[str, float]:
    return {loss.reason: loss.points for loss in found}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (MEMORY, 0.60, {}),
        (MEMORY, 0.601, {"memory_busy": 5}),
        (MEMORY, 0.80, {"memory_busy": 5}),
        (MEMORY, 0.801, {"memory_high": 15}),
        (DISK, 0.70, {}),
        (DISK, 0.701, {"disk_busy": 10}),
        (DISK, 0.85, {"disk_busy": 10}),
        (DISK, 0.851, {"disk_high": 20}),
        (LOAD, 1.5, {}),
        (LOAD, 1.51, {"load_high": 15}),
        (AGENTS, 1.0, {}),
        (AGENTS, 0.99, {"agents_degraded": 10}),
        (AGENTS, 0.80, {"agents_degraded": 10}),
        (AGENTS, 0.799, {"agents_down": 25}),
        (AGENTS, 0.0, {"agents_down": 25}),
        (CACHE, 0.90, {}),
        (CACHE, 0.899, {"postgres_cache_low": 10}),
        (CONNECTIONS, 0.80, {}),
        (CONNECTIONS, 0.801, {"postgres_connections_high": 15}),
    ],
    ids=str,
)
def test_a_figure_costs_what_it_should_beyond_its_limit_and_nothing_at_it(
    kind: Kind, value: float, expected: dict[str, float]
) -> None:
    found = losses(figure(kind, value))
    assert points(found) == expected
    assert score_of(found) == 100 - sum(expected.values())


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (Gap("ollama", "connection refused"), {"ollama_down": 30}),
        (Gap("ollama", "nobody has one", absent=True), {}),
        (Gap("model/llama3:8b", "no token within 30 s"), {"model_silent": 20}),
        (Gap("containers", "the engine does not answer"), {"containers_unknown": 5}),
        (Gap("containers", "no engine", absent=True), {}),
        (Gap("postgres/main", "password refused"), {"postgres_unknown": 5}),
        (Gap("disk /mnt/backup", "no answer within 60 s"), {"disk_unknown": 5}),
        (Gap("", "?"), {"source_unknown": 5}),
    ],
    ids=str,
)
def test_what_is_unknown_costs_and_what_nobody_has_does_not(gap: Gap, expected: dict[str, float]) -> None:
    assert points(losses(gaps=(gap,))) == expected


def test_an_area_costs_once_however_much_of_it_is_unknown() -> None:
    gaps = tuple(Gap(f"postgres/{n}", f"refused {n}") for n in range(40))
    (loss,) = losses(gaps=gaps)
    assert loss.points == 5
    assert "refused 0; postgres/1: refused 1; postgres/2: refused 2; and 37 more" in loss.message


def test_everything_bad_at_once_is_a_zero_and_no_less() -> None:
    found = losses(
        *(figure(kind, 1.0) for kind in (MEMORY, DISK, CONNECTIONS)),
        figure(LOAD, 99),
        figure(AGENTS, 0),
        figure(CACHE, 0),
        gaps=(Gap("ollama", "down"), Gap("model/x", "silent"), Gap("redis", "NOAUTH")),
    )
    assert sum(loss.points for loss in found) == 155
    assert (score_of(found), word_of(score_of(found)), verdict_of(found)) == (0, "poor", 2)


@pytest.mark.parametrize(
    ("score", "word"),
    [(0, "poor"), (59.9, "poor"), (60, "fair"), (74.9, "fair"), (75, "good"), (89.9, "good"), (90, "excellent"),
     (100, "excellent")],
)  # fmt: skip
def test_a_score_has_its_word(score: float, word: str) -> None:
    assert word_of(score) == word


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([], 0),
        ([figure(MEMORY, 0.7)], 0),
        ([figure(DISK, 0.9), figure(MEMORY, 0.9)], 1),
        ([figure(DISK, 0.9), figure(MEMORY, 0.9), figure(LOAD, 9)], 2),
    ],
)
def test_the_exit_code_follows_the_word(found: list[Figure], verdict: int) -> None:
    assert verdict_of(losses(*found)) == verdict


def test_what_is_unknown_is_never_a_success() -> None:
    found = losses(gaps=(Gap("redis", "no answer"),))
    assert (score_of(found), verdict_of(found)) == (95, 1)


def test_the_limits_are_the_ones_that_alerts_use_too() -> None:
    at = (figure(MEMORY, 0.55), figure(DISK, 0.75), figure(LOAD, 2))
    assert points(losses(*at)) == {"disk_busy": 10, "load_high": 15}
    stricter = losses(*at, max_memory_percent=50, max_disk_percent=72, max_load_per_core=3)
    assert points(stricter) == {"memory_high": 15, "disk_high": 20}
    own = Settings(busy_memory_percent=50, busy_disk_percent=80, min_healthy_agents_percent=50)
    assert points(losses(*at, figure(AGENTS, 0.6), settings=own)) == {
        "memory_busy": 5, "load_high": 15, "agents_degraded": 10
    }  # fmt: skip


def test_of_several_things_the_worst_counts() -> None:
    found = losses(
        figure(DISK, 0.3, "/"), figure(DISK, 0.9, "/data"),
        figure(CACHE, 0.99, "main", "a"), figure(CACHE, 0.5, "main", "b"),
        figure(CONNECTIONS, 0.1, "main"), figure(CONNECTIONS, 0.95, "other"),
    )  # fmt: skip
    assert points(found) == {"disk_high": 20, "postgres_connections_high": 15, "postgres_cache_low": 10}
    assert ["/data" in found[0].message, "other" in found[1].message, "main/b" in found[2].message] == [True] * 3


def test_a_recommendation_names_the_figure_the_limit_and_who_is_behind_it() -> None:
    containers = [figure(series.CONTAINER_MEMORY, n << 30, f"c{n}") for n in range(1, 6)]
    (loss,) = losses(figure(MEMORY, 0.873), *containers)
    assert recommendation(loss) == (
        "memory in use 87.3 % (limit 80 %): the containers that use most of it are c5 (5 GiB), c4 (4 GiB), c3 (3 GiB): "
        "set a limit, stop what is not needed, or add memory"
    )


def test_agents_that_are_not_well_are_named() -> None:
    agents = {"well": {"state": "healthy"}, **{f"ill{n}": {"state": "unreachable"} for n in range(7)}}
    sampled = Sampled(figures=(figure(AGENTS, 0.1),), sections={"agent_metrics": {"agents": agents}})
    (loss,) = losses_of(sampled, Settings(), Thresholds())
    assert loss.remedy.startswith("ill0 (unreachable), ill1 (unreachable)")
    assert "and 2 more" in loss.remedy


def test_findings_are_for_what_costs_much_or_is_unknown() -> None:
    found = losses(figure(MEMORY, 0.7), figure(DISK, 0.9), gaps=(Gap("redis", "no answer"),))
    told = {finding.kind: finding.severity for finding in findings_of_losses(found, 10)}
    assert told == {"disk_high": "high", "redis_unknown": "low"}


@given(st.text(max_size=40), st.text(max_size=40))
def test_names_of_others_change_no_reason(name: str, why: str) -> None:
    found = losses(
        figure(DISK, 0.99, name), figure(CACHE, 0.1, name, name),
        figure(series.CONTAINER_MEMORY, 1, name), figure(MEMORY, 0.99),
        gaps=(Gap(f"postgres/{name}", why),),
    )  # fmt: skip
    assert set(points(found)) == {"disk_high", "memory_high", "postgres_cache_low", "postgres_unknown"}
    assert all(loss.message and loss.remedy for loss in found)
    assert f"{name} in use 99.0 % (limit 85 %)" in found[0].message
