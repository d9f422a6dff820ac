"""A daemon that is killed while it remedies: nothing is done twice, and nothing is forgotten."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.remediation import audit, remediations
from exporter.clock import SystemClock
from exporter.store import Store
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.remedial import ALERT, RULE, alert, code, document, runs, send
from tests.services.trial_jobs import TrialPackage
from tests.services.wait import wait_for

SEEN = "ThingSeen"


class Scene:
    def __init__(self, directory: Path, start: Callable[..., ExporterDaemon], work: str, **given: Any) -> None:
        self.place = directory / "place"
        self.place.mkdir()
        environment = TrialPackage(directory / "package").environment
        config = document(work.replace("PLACE", str(self.place)), **given)
        self.daemon = start(config, environment=environment)
        self.store = Store(self.daemon.base_dir / "data" / "sutazai.db")

    def send(self, *alerts: Any) -> None:
        send(self.store, *alerts, now=SystemClock().now())

    def entries(self) -> list[remediations.Entry]:
        return remediations.listing(self.store, 2000)[::-1]

    def decided(self) -> int:
        """How many there are, asked for far more often than what each is."""
        return int(self.store.rows("SELECT count(*) FROM remediations")[0][0])

    def wait(self, condition: Callable[[], object], what: str, timeout_seconds: float = 120) -> None:
        wait_for(condition, timeout_seconds, what, detail=lambda: self.daemon.log()[-4000:])

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.start()


@pytest.fixture
def scene(tmp_path: Path, exporter_daemon: Callable[..., ExporterDaemon]) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(work: str, **given: Any) -> Scene:
        made.append(Scene(tmp_path, exporter_daemon, work, **given))
        return made[-1]

    yield make
    for each in made:
        assert audit.verify(each.store).fault == ""
        each.store.close()


def waits_for_go(mode: str) -> str:
    """A trial job whose runs in this mode wait for the file `go`."""
    lines = code(Path("PLACE")).splitlines()
    lines.insert(2, f"while request.mode == {mode!r} and not (place / 'go').exists(): time.sleep(0.01)")
    return "\n".join(lines)


def test_a_fix_that_is_killed_with_the_daemon_is_not_run_again(scene: Callable[..., Scene]) -> None:
    it = scene(waits_for_go("full"), backoff_seconds=3600)
    it.send(alert())
    it.wait(lambda: runs(it.place), "the fix runs")
    it.kill()
    it.wait(lambda: it.entries()[0].state == "verifying", "the next daemon looks at it")
    (it.place / "go").touch()
    it.wait(lambda: it.entries()[0].state in ("verified", "due"), "the look is over")
    # Whether the orphan came to its end, and so mended it, is for it and the kernel to settle; the state must be true.
    well = (it.place / "well-web").exists()
    assert it.entries()[0].state == ("verified" if well else "due")
    assert Counter(runs(it.place)) == {"full web": 1, "light web": 1}
    assert it.entries()[0].attempts == 1
    assert [entry["what"] for entry in audit.entries(it.store, 10)][::-1][:3] == [
        "alert taken in",
        "begun",
        "interrupted",
    ]


def test_a_look_that_is_killed_with_the_daemon_is_made_again_and_the_fix_is_not(scene: Callable[..., Scene]) -> None:
    it = scene(waits_for_go("light"))
    it.send(alert())
    it.wait(lambda: "light web" in runs(it.place), "the look runs")
    it.kill()
    (it.place / "go").touch()
    it.wait(lambda: it.entries()[0].state == "verified", "it is verified")
    assert Counter(runs(it.place)) == {"full web": 1, "light web": 2}
    assert it.entries()[0].attempts == 1


def test_of_a_thousand_alerts_with_a_kill_every_fifty_none_is_forgotten_and_none_remedied_twice(
    scene: Callable[..., Scene],
) -> None:
    agents = [f"agent-{number}" for number in range(20)]
    rules = [RULE, {**RULE, "name": "see-thing", "alert": SEEN, "mode": "shadow"}]
    it = scene(
        code(Path("PLACE")), rules=rules, agents=agents, max_per_hour=1000, max_per_target_per_hour=60,
        backoff_seconds=0, cool_down_seconds=0, max_attempts=10,
    )  # fmt: skip
    chance = random.Random(36)
    for number, agent in enumerate(agents):
        # Each kill may cost an attempt, and there are ten of these.
        it.wait(lambda: not remediations.standing(it.store), "those before are over")
        others = [alert(agent, name=SEEN, fingerprint=f"{number}-{other}") for other in range(49)]
        it.send(*others[:25], alert(agent), *others[25:])
        decided = 50 * number + chance.randrange(50)
        it.wait(lambda least=decided: it.decided() >= least, "some are decided")
        it.kill()
    it.wait(lambda: not remediations.undecided(it.store), "all are decided")
    it.wait(lambda: not remediations.standing(it.store), "all are over")
    found = it.entries()
    assert len(found) == 1000
    assert len({entry.alert_id for entry in found}) == 1000
    wrong = [(entry.target, entry.detail) for entry in found if entry.state not in ("shadow", "verified")]
    assert wrong == []
    assert Counter(entry.state for entry in found) == {"shadow": 980, "verified": 20}
    done = Counter(runs(it.place))
    for entry in found:
        if entry.alert.name == ALERT:
            assert 1 <= done[f"full {entry.target}"] <= entry.attempts
    assert not re.search("Traceback", it.daemon.log())
