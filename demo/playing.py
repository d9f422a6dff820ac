"""One break from beginning to end, with the time of each step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from demo.breaks import Break
from demo.layout import DemoError, running
from demo.scene import Scene

_CALM_SECONDS = 240.0
_STEPS = ("broken", "alert", "repair", "verified", "over")


@dataclass
class Course:
    """How it went with one break: the seconds from its beginning at which each of its steps was seen first."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    failed: bool = False
    left_out: bool = False


def table(courses: Iterable[Course]) -> Iterator[str]:
    """The lines of a table of all of them."""
    yield f"{'':20}" + "".join(f"{step:>11}" for step in _STEPS)
    for course in courses:
        cells = (f"{course.seconds[step]:.1f} s" if step in course.seconds else "-" for step in _STEPS)
        more = "  NOT as expected" if course.failed else "  left out" if course.left_out else ""
        yield f"{course.name:20}" + "".join(f"{cell:>11}" for cell in cells) + more


def play(one: Break, scene: Scene) -> Course:
    """Break it, watch it being told of and mended, and say how long each took."""
    scene.say(f"\n── {one.name}")
    if one.left_out:
        scene.say(f"  left out: {one.left_out}")
        return Course(one.name, left_out=True)
    scene.say(f"  does:    {one.does}\n  expects: {one.expects}")
    return _Play(one, scene).through()


class _Play:
    """A break under way."""

    def __init__(self, one: Break, scene: Scene) -> None:
        self._one, self._scene, self._course = one, scene, Course(one.name)
        self._began: float | None = None
        self._shown = ""

    def through(self) -> Course:
        """Play it; whatever comes in between, what was broken is not left behind."""
        try:
            self._steps()
        except (DemoError, OSError) as error:  # an engine that has gone, a disk that is full
            self._scene.say(f"  NOT as expected: {error}")
            self._course.failed = True
            self._tidy()
        except KeyboardInterrupt:
            if self._began is not None:
                who = "the exporter goes on with the repair" if self._one.remedy else "what is broken is mended first"
                self._scene.say(f"\n  interrupted; {who}")
                self._tidy()
            raise
        return self._course

    def _steps(self) -> None:
        one, scene = self._one, self._scene
        scene.wait(lambda: not scene.prometheus.fires(one.alert), _CALM_SECONDS, f"{one.alert} of before is over")
        known = {found["id"] for found in scene.remediations_of(one.remedy)}
        self._start()
        one.act(scene)
        self._saw("broken")
        scene.wait(self._arrived, one.limit_seconds, f"{one.alert} reaches the exporter")
        self._saw("alert", f"{one.alert} reached the exporter")
        if one.remedy:
            scene.wait(lambda: self._verified(known), one.limit_seconds, f"{one.remedy} is verified")
        else:
            scene.say("            nobody mends this by himself")
        one.check(scene)
        one.tidy(scene)
        scene.wait(lambda: not scene.prometheus.fires(one.alert), _CALM_SECONDS, f"{one.alert} is over")
        self._saw("over", f"{one.alert} does not fire any more")

    def _start(self) -> None:
        self._began = time.monotonic()
        self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def _saw(self, step: str, what: str = "") -> None:
        seconds = time.monotonic() - (self._began or 0)
        self._course.seconds.setdefault(step, seconds)
        self._scene.say(f"  {seconds:6.1f} s  {step:9} {what}".rstrip())

    def _arrived(self) -> bool:
        return any(
            alert["labels"]["alertname"] == self._one.alert
            and alert["state"] == "firing"
            and alert["received"] >= self._iso
            for alert in self._scene.exporter.alerts()
        )

    def _verified(self, known: set[int]) -> bool:
        """Follow the remediation; DemoError when it is given up."""
        remedy = self._one.remedy
        ours = [found for found in self._scene.remediations_of(remedy) if found["id"] not in known]
        state = ours[0]["state"] if ours else ""
        if state and state != self._shown:
            self._shown = state
            step = "verified" if state == "verified" else "repair"
            self._saw(step, f"{remedy} is {state}{_about(ours[0])}")
        if state in ("failed", "refused", "expired"):
            raise DemoError(f"{remedy} is {state}: {ours[0]['detail']}", 1)
        return state == "verified"

    def _tidy(self) -> None:
        if self._began is None:
            return
        if running(self._scene.layout.directory) is None:
            raise DemoError("the demo has ended: start one in another terminal: make demo")
        try:
            self._one.tidy(self._scene)
        except (DemoError, OSError) as error:
            self._scene.say(f"  and could not be tidied up: {error}")


def _about(remediation: dict[str, Any]) -> str:
    return f" ({remediation['target']})" if remediation["target"] else ""
