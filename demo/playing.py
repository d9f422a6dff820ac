"""One break from beginning to end, with the time of each step."""

from __future__ import annotations

import time
from typing import Any

from demo.breaks import Break
from demo.layout import DemoError, running
from demo.scene import Scene

_CALM_SECONDS = 240.0


def play(one: Break, scene: Scene) -> bool:
    """Break it, watch it being told of and mended, and say how long each took; whether it went as it should."""
    say = scene.say
    say(f"\n── {one.name}")
    say(f"  does:    {one.does}")
    say(f"  expects: {one.expects}")
    clock = _Clock(scene)
    try:
        scene.wait(lambda: not scene.prometheus.fires(one.alert), _CALM_SECONDS, f"{one.alert} of before is over")
        known = {found["id"] for found in scene.remediations_of(one.remedy)}
        clock.start()
        one.act(scene)
        clock.tell("broken")
        scene.wait(lambda: _arrived(one, scene, clock), one.limit_seconds, f"{one.alert} reaches the exporter")
        clock.tell(f"alert   {one.alert} reached the exporter")
        if one.remedy:
            _mended(one, scene, known, clock)
        else:
            clock.tell("nobody mends this by himself")
        one.tidy(scene)
        scene.wait(lambda: not scene.prometheus.fires(one.alert), _CALM_SECONDS, f"{one.alert} is over")
        clock.tell(f"over    {one.alert} does not fire any more")
    except DemoError as error:
        say(f"  NOT as expected: {error}")
        _tidy(one, scene)
        return False
    except KeyboardInterrupt:
        _tidy(one, scene)
        raise
    return True


def _tidy(one: Break, scene: Scene) -> None:
    """What was broken is not left behind because something else went wrong, unless the demo has ended."""
    if running(scene.layout.directory) is None:
        raise DemoError("the demo has ended: start one in another terminal: make demo")
    try:
        one.tidy(scene)
    except (DemoError, OSError) as error:
        scene.say(f"  and could not be tidied up: {error}")


def _arrived(one: Break, scene: Scene, clock: _Clock) -> bool:
    return any(
        alert["labels"]["alertname"] == one.alert and alert["state"] == "firing" and alert["received"] >= clock.iso
        for alert in scene.exporter.alerts()
    )


def _mended(one: Break, scene: Scene, known: set[int], clock: _Clock) -> None:
    """Follow the remediation until it is proven; DemoError when it is given up."""
    shown = ""

    def verified() -> bool:
        nonlocal shown
        ours = [found for found in scene.remediations_of(one.remedy) if found["id"] not in known]
        state = ours[0]["state"] if ours else ""
        if state and state != shown:
            shown = state
            clock.tell(f"repair  {one.remedy} is {state}{_about(ours[0])}")
        if state in ("failed", "refused", "expired"):
            raise DemoError(f"{one.remedy} is {state}: {ours[0]['detail']}", 1)
        return state == "verified"

    scene.wait(verified, one.limit_seconds, f"{one.remedy} is verified")


def _about(remediation: dict[str, Any]) -> str:
    return f" ({remediation['target']})" if remediation["target"] else ""


class _Clock:
    """Tells times since the break began."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self._began = time.monotonic()
        self.iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def tell(self, what: str) -> None:
        """Say what happened, and when."""
        self._scene.say(f"  {time.monotonic() - self._began:6.1f} s  {what}")
