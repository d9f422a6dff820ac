"""The status page as an operator has it: a real daemon, a real browser, jobs that do what the test needs."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from exporter.web.access.lockout import FREE
from exporter.web.page import ASSETS
from jobs.pages import sheet
from tests.services.chromium import SHELL, WHOLE, Chromium, Opened
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.remedial import ALERT, RULE, document
from tests.services.sent_alerts import post, sent
from tests.services.status_documents import RUNBOOK, crowded, ill, well
from tests.services.status_server import StatusServer
from tests.services.trial_jobs import REPOSITORY, TASK, TrialPackage, operator
from tests.services.wait import wait_for

ELSEWHERE = "exporter.test"
"""A name of this machine that is not one of its own: who comes by it may not read without a token."""
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
WAIT_MS = 60_000
_WORK = """
place = Path({place!r})
wish = (place / "wish").read_text() if (place / "wish").exists() else "well"
if request.mode == "full" and wish == "fail":
    raise JobError("the thing at " + (place / "name").read_text() + " is gone; put it back")
if request.mode == "full" and wish == "long":
    clients.report.progress(3, 10, "three of the ten things")
    while not (place / "go").exists():
        time.sleep(0.02)
name = (place / "name").read_text()
findings = (Finding(kind="bent", subject=name, severity="medium", message="It is <b>bent</b>."),)
if request.mode == "full":
    (place / "mended").touch()
samples = (Sample(family="sutazai_trial_value", value=(place / "mended").exists(), labels={{"thing": "door"}}),)
result = Result(status="GOOD", summary="all ten things are there", samples=samples, findings=findings,
                report={{"status": "GOOD"}})
"""


# https://wicg.github.io/layout-instability/: what has moved, by how much of the window.
_NOTE_JUMPS = """
    window.jumps = [];
    new PerformanceObserver(list => list.getEntries().forEach(it => window.jumps.push(
        it.sources.map(source => source.node && source.node.parentElement.outerHTML.slice(0, 200)).join()))
    ).observe({type: "layout-shift"});
"""


@dataclass
class World:
    """A daemon whose trial job does what `wish` says: it works, fails, or goes on until it is let go."""

    daemon: ExporterDaemon
    place: Path
    token: str

    def wish(self, what: str) -> None:
        (self.place / "go").unlink(missing_ok=True)
        (self.place / "wish").write_text(what)

    def let_go(self) -> None:
        (self.place / "go").touch()

    def run(self, **body: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.daemon.post(f"/api/v1/tasks/{TASK}/start", json=body, headers=headers)
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def chromium(request: pytest.FixtureRequest) -> Iterator[Chromium]:
    programs = getattr(request, "param", SHELL)
    browser = Chromium(f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1", programs=programs)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("place")
    (place / "name").write_text("door")
    # What nobody has planned nobody misses: it would not be told of when it fails.
    weekly = '(Cadence.parse("sunday at 04:44"),)'
    package = TrialPackage(tmp_path_factory.mktemp("package") / "checkout", cadences=weekly)
    (package.directory / "jobs" / "agent_monitor.py").symlink_to(REPOSITORY / "jobs" / "agent_monitor.py")
    settings = document(_WORK.format(place=str(place)), mode="approve", cool_down_seconds=0, max_per_target_per_hour=60)
    # There is no engine: the agents are missing, which is all that this needs of them.
    settings["docker"] = {"url": f"unix://{place}/docker.sock"}
    path = ["--web.telemetry-path", "/figures"]
    daemon = ExporterDaemon(settings, environment=package.environment, arguments=path)
    try:
        yield World(daemon, place, operator(daemon)["Authorization"].removeprefix("Bearer "))
    finally:
        (place / "go").touch()
        daemon.close()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    (shared.place / "name").write_text("door")
    shared.wish("well")
    yield shared
    shared.let_go()


def task(page: Page, name: str = TASK) -> Locator:
    return page.locator(f"#tasks [data-key={name}]")


def live(opened: Opened) -> Page:
    expect(opened.page.locator("html")).to_have_attribute("data-live", "live", timeout=WAIT_MS)
    return opened.page


def press(page: Page, what: str, token: str = "") -> None:
    """Press a button of the dialog that is open, after a token was entered."""
    dialog = page.locator("dialog[open]")
    if token:
        dialog.locator("input[type=password]").fill(token)
    dialog.get_by_role("button", name=what, exact=True).click()


def start(page: Page, token: str = "") -> None:
    task(page).get_by_role("button", name=f"Start {TASK}").click()
    press(page, "Start")
    if token:
        press(page, "Use it", token)
    expect(page.locator("#said")).to_contain_text(f"The start of {TASK} full was asked for.", timeout=WAIT_MS)


def says(locator: Locator, *texts: str) -> None:
    for text in texts:
        expect(locator).to_contain_text(text, timeout=WAIT_MS)


def in_order(opened: Opened, *, elsewhere: bool = False) -> bool:
    refused = [] if not elsewhere else [event for event in opened.events if "401" in event]
    return [event for event in opened.events if event not in refused] == [] and opened.ask("window.violations") == []


# Seeing, starting, stopping


@pytest.mark.parametrize("chromium", [SHELL, WHOLE], indirect=True, ids=["shell", "whole"])
def test_a_task_is_started_seen_to_run_and_to_end(world: World, chromium: Chromium) -> None:
    world.wish("long")
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        start(page, world.token)
        says(task(page), "Running", "3 of 10: three of the ten things")
        expect(task(page).locator("progress")).to_have_js_property("value", 0.3)
        world.let_go()
        says(task(page), "Worked", "all ten things are there")
        expect(task(page).locator("progress")).to_be_hidden()
        expect(task(page).get_by_role("button", name=f"Stop {TASK}")).to_have_attribute("aria-disabled", "true")
        says(page.locator("#findings"), "It is <b>bent</b>.", "1 medium")
        says(page.locator("#reports"), TASK)
        assert in_order(opened)


def test_a_failure_appears_with_its_error_and_what_to_do(world: World, chromium: Chromium) -> None:
    world.wish("fail")
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        world.run()
        says(task(page), "Failed", "the thing at door is gone; put it back")
        says(page.locator("#todo"), TASK)
        says(page.locator("#news"), "Failed")
        expect(page.locator("html")).not_to_have_attribute("data-verdict", "good")
        world.wish("well")
        world.run()
        says(task(page), "Worked")


def test_a_long_run_is_stopped(world: World, chromium: Chromium) -> None:
    world.wish("long")
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        start(page, world.token)
        says(task(page), "Running")
        task(page).get_by_role("button", name=f"Stop {TASK}").click()
        says(page.locator("dialog[open]"), f"Stop {TASK}?")
        press(page, "Stop it")
        says(page.locator("#said"), f"The end of {TASK} was asked for.")
        says(task(page), "Stopped")


def test_a_mode_that_needs_a_target_asks_for_it(world: World, chromium: Chromium) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        task(page, "agent-monitor").get_by_role("button", name="Start").click()
        dialog = page.locator("dialog[open]")
        target = dialog.get_by_label("Target")
        assert target.evaluate("field => field.validity.valid")
        dialog.get_by_label("release").check()
        press(page, "Start")
        expect(dialog).to_be_visible()
        assert not target.evaluate("field => field.validity.valid")
        target.fill("web")
        press(page, "Start")
        press(page, "Use it", world.token)
        says(page.locator("#said"), "The start of agent-monitor release web was asked for.")


def test_agents_are_restarted_by_their_button(world: World, chromium: Chromium) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        agent = page.locator("#agents [data-key=web]")
        says(agent, "unreachable")
        agent.get_by_role("button", name="Restart web").click()
        press(page, "Restart")
        press(page, "Use it", world.token)
        says(page.locator("#said"), "The restart of web was asked for.")
        asked = ("agent-monitor", "web")
        wait_for(lambda: asked in runs_of(world), 60, "the restart has been run")


def test_an_agent_that_has_no_container_is_not_offered_a_restart(chromium: Chromium) -> None:
    told = ill(datetime.now().astimezone())
    told["agents"][0] |= {"state": "missing", "healthy": False}
    with StatusServer(told) as server, chromium.opened(server.url) as opened:
        cards = live(opened).locator("#agents li")
        says(cards.filter(has_text="missing"), told["agents"][0]["agent"])
        expect(cards.filter(has_text="missing").get_by_role("button")).to_have_count(0)
        expect(cards.filter(has_text="unhealthy").get_by_role("button")).to_have_count(1)


def runs_of(world: World) -> list[tuple[str, str]]:
    return [(run["task"], run["target"]) for run in world.daemon.get("/api/v1/runs?limit=50").json()["runs"]]


def test_a_repair_that_waits_is_approved(world: World, chromium: Chromium) -> None:
    (world.place / "mended").unlink(missing_ok=True)
    labels = {"alertname": ALERT, "agent": "web", "thing": "door", "severity": "critical", "note": MARKUP}
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        post(world.daemon, {"Authorization": f"Bearer {world.token}"}, sent(1, labels=labels))
        says(page.locator("#alerts"), ALERT, "agent-1 is down", MARKUP)
        repair = page.locator("#approvals li")
        says(repair, RULE["name"], "Waits for you", f"{TASK} full")
        says(page.locator("#todo"), "approve")
        repair.get_by_role("button", name="Approve").click()
        says(page.locator("dialog[open]"), f"{TASK} full")
        press(page, "Approve")
        press(page, "Use it", world.token)
        says(page.locator("#said"), f"Approved: {RULE['name']} on web.")
        says(repair, "Done and proved")
        assert (world.place / "mended").exists()
        assert in_order(opened)


# Tokens


def test_a_wrong_token_is_told_a_right_one_is_asked_for_once_and_kept_in_memory_alone(
    world: World, chromium: Chromium
) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        task(page).get_by_role("button", name=f"Start {TASK}").click()
        press(page, "Start")
        press(page, "Use it", "wrong-one")
        says(page.locator("#token-problem"), "Unauthorized (401)", "sutazai-exporter token create")
        press(page, "Use it", world.token)
        says(page.locator("#said"), "was asked for")
        page.locator("#said button").click()
        start(page)
        kept = "[localStorage.length, sessionStorage.length, document.cookie, location.href, document.body.innerHTML]"
        stored, for_session, cookies, address, content = opened.ask(kept)
        assert (stored, for_session, cookies) == (0, 0, "")
        assert world.token not in address + content + opened.ask("document.getElementById('token-field').value")
        page.reload()
        task(live(opened)).get_by_role("button", name=f"Start {TASK}").click()
        press(page, "Start")
        expect(page.locator("#token-dialog")).to_be_visible()


def test_a_token_is_forgotten_when_asked(world: World, chromium: Chromium) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        page.get_by_role("button", name="Enter token").click()
        press(page, "Use it", world.token)
        page.get_by_role("button", name="Forget token").click()
        expect(page.get_by_role("button", name="Enter token")).to_be_visible()
        task(page).get_by_role("button", name=f"Start {TASK}").click()
        press(page, "Start")
        expect(page.locator("#token-dialog")).to_be_visible()


def test_who_comes_from_elsewhere_sees_nothing_without_a_token_that_may_read(world: World, chromium: Chromium) -> None:
    reader = operator(world.daemon, "read")["Authorization"].removeprefix("Bearer ")
    with chromium.opened(f"http://{ELSEWHERE}:{world.daemon.port}/") as opened:
        page = opened.page
        expect(page.locator("#token-dialog")).to_be_visible(timeout=WAIT_MS)
        assert TASK not in opened.text()
        expect(page.locator("#content")).to_be_hidden()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Enter a token to read").click()
        press(page, "Use it", "wrong-one")
        says(page.locator("#token-problem"), "Unauthorized (401)")
        press(page, "Use it", reader)
        says(task(live(opened)), TASK)
        task(page).get_by_role("button", name=f"Start {TASK}").click()
        press(page, "Start")
        says(page.locator("#token-problem"), "'operate'")
        press(page, "Use it", world.token)
        says(page.locator("#said"), "was asked for")
        assert in_order(opened, elsewhere=True)
        page.get_by_role("button", name="Forget token").click()
        expect(page.locator("#token-dialog")).to_be_visible(timeout=WAIT_MS)
        assert TASK not in opened.text()


def test_who_has_given_too_many_wrong_tokens_is_asked_again_and_not_told_of_a_lost_connection(
    chromium: Chromium,
) -> None:
    daemon = ExporterDaemon()
    try:
        right = operator(daemon)["Authorization"].removeprefix("Bearer ")
        with chromium.opened(f"http://{ELSEWHERE}:{daemon.port}/") as opened:
            for number in range(FREE + 3):
                press(opened.page, "Use it", f"wrong-{number}")
            says(opened.page.locator("dialog[open] #token-problem"), "Too Many Requests (429)")
            expect(opened.page.locator("#lost")).to_be_hidden()
            press(opened.page, "Use it", right)
            live(opened)
    finally:
        daemon.close()


def test_a_right_token_is_kept_where_there_were_too_many_requests(world: World, chromium: Chromium) -> None:
    """The answer stands for that of a rate limit, which is about nobody's token."""
    refusal = json.dumps({"title": "Too Many Requests", "status": 429, "detail": "more than rate_limit allows"})
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        page.route("**/start", lambda route: route.fulfill(status=429, body=refusal))
        task(page).get_by_role("button", name=f"Start {TASK}").click()
        press(page, "Start")
        press(page, "Use it", world.token)
        says(page.locator("#refused"), "more than rate_limit allows")
        page.unroute("**/start")
        start(page)


def test_a_page_that_is_locked_says_nothing_of_a_connection_that_was_lost(chromium: Chromium) -> None:
    told = ill(datetime.now().astimezone())
    with StatusServer(told, token="right") as server, chromium.opened("about:blank") as opened:
        page = opened.page
        page.clock.install()
        page.goto(server.url)
        press(page, "Use it", "right")
        live(opened)
        server.token = "another"
        page.clock.fast_forward(61_000)
        says(page.locator("#lost"), "nothing was heard for 40 s")
        expect(page.locator("html")).to_have_attribute("data-live", "locked", timeout=WAIT_MS)
        expect(page.locator("#lost")).to_be_hidden()


def test_a_report_is_opened_by_a_link_and_shown_where_reading_takes_a_token(world: World, chromium: Chromium) -> None:
    world.run(mode="light")
    name = f"JSON report of {TASK} light"
    with chromium.opened(world.daemon.url + "/") as opened:
        link = live(opened).get_by_role("link", name=name)
        with opened.page.expect_popup(timeout=WAIT_MS) as popup:
            link.click()
        assert json.loads(popup.value.inner_text("body"))["status"] == "GOOD"
    with chromium.opened(f"http://{ELSEWHERE}:{world.daemon.port}/") as opened:
        press(opened.page, "Use it", world.token)
        page = live(opened)
        page.get_by_role("link", name=name).dblclick()
        shown = page.frame_locator("dialog[open] iframe").locator("body")
        says(shown, '"GOOD"')
        assert json.loads(shown.inner_text())["status"] == "GOOD"
        with page.expect_download(timeout=WAIT_MS) as download:
            page.get_by_role("link", name="Save").click()
        assert json.loads(Path(download.value.path()).read_text())["status"] == "GOOD"
        assert download.value.suggested_filename.startswith("trial_report_")
        # A newer one takes its place meanwhile: whoever closes the old one is where he was.
        behind = page.locator(f"#reports [data-key={TASK}] a")
        before = behind.get_attribute("href") or ""
        world.run(mode="light")
        expect(behind).not_to_have_attribute("href", before, timeout=WAIT_MS)
        press(page, "Close")
        expect(page.get_by_role("link", name=name)).to_be_focused()
        assert page.locator("iframe").count() == 0
        assert in_order(opened, elsewhere=True)


_PLANTED = """<!doctype html><style>body {{ color: rgb(1, 2, 3) }}</style><style>{style}</style>
<p id="text" class="unseen">A report</p>
<script>parent.reached = 1; alert(1); document.getElementById("text").textContent = "It ran"</script>
<script src="{url}assets/app.js"></script>
<img src="x" onerror="parent.reached = 2; alert(2)"> <img src="{url}api/v1/taken">
<iframe srcdoc="<script>top.reached = 3; alert(3)</script>"></iframe>
<meta http-equiv="refresh" content="0; url={url}api/v1/taken"><base target="_top">
<form action="{url}api/v1/taken"><button id="send">Send</button></form>
<a id="run" href="javascript:top.reached = 4">Run</a> <a id="leave" href="{url}api/v1/taken">Leave</a>"""
"""What whoever could write a report would try."""


def test_a_report_runs_no_script_and_reaches_neither_the_page_nor_its_token(chromium: Chromium) -> None:
    with StatusServer(ill(datetime.now().astimezone()), token="right") as server:
        server.report = _PLANTED.format(url=server.url, style=sheet.style())
        with chromium.opened(server.url) as opened:
            asked = []
            opened.page.on("request", lambda request: asked.append(request.url))
            press(opened.page, "Use it", "right")
            page = live(opened)
            page.get_by_role("link", name="HTML report of security-scan").click()
            report = page.frame_locator("dialog[open] iframe")
            says(report.locator("#text"), "A report")
            asked.clear()
            for name in ("#send", "#run", "#leave"):
                report.locator(name).click()
            frame = page.frames[1]
            # Of its styles, that of our reports alone.
            assert frame.evaluate("getComputedStyle(document.getElementById('text')).position") == "absolute"
            assert frame.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)"
            assert frame.evaluate("self.origin") == "null"
            reach = "(() => { try { return top.document.title; } catch (error) { return error.name; } })()"
            assert frame.evaluate(reach) == "SecurityError"
            assert opened.ask("window.reached") is None
            assert report.locator("#text").inner_text() == "A report"
            assert [url for url in asked if not url.startswith("blob:")] == []
            assert [event for event in opened.events if event.startswith(("dialog", "request"))] == []
            assert page.url == server.url
            assert opened.grave_violations() == []


def test_a_report_that_cannot_be_had_is_told_of(chromium: Chromium) -> None:
    with (
        StatusServer(ill(datetime.now().astimezone()), token="right") as server,
        chromium.opened(server.url) as opened,
    ):
        press(opened.page, "Use it", "right")
        page = live(opened)
        server.token = "another"
        page.get_by_role("link", name="HTML report of security-scan").click()
        says(page.locator("#refused"), "The report cannot be shown: Unauthorized (401)")


# Never green when it is not known


def test_a_daemon_that_goes_away_is_told_of_and_comes_back(world: World, chromium: Chromium) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        page.get_by_label("Text").fill("bent")
        task(page, "agent-monitor").get_by_role("button", name="Start").click()
        page.get_by_label("Target").fill("we")
        world.daemon.kill()
        says(page.locator("h1"), "Not known: connection lost")
        says(page.locator("#lost"), "What is shown below was so", "ago", "Reason:")
        assert opened.ask("[document.documentElement.dataset.verdict, document.title]")[0] == "unknown"
        says(task(page), TASK)
        world.daemon.start()
        live(opened)
        expect(page.locator("#lost")).to_be_hidden()
        expect(page.locator("#start-dialog")).to_be_visible()
        assert page.get_by_label("Target").input_value() == "we"
        assert page.get_by_label("Text").input_value() == "bent"
        expect(page.locator("html")).not_to_have_attribute("data-verdict", "unknown")


def test_a_daemon_that_is_frozen_is_told_of(world: World, chromium: Chromium) -> None:
    with chromium.opened("about:blank") as opened:
        opened.page.clock.install()
        opened.page.goto(world.daemon.url + "/")
        page = live(opened)
        world.daemon.process.send(signal.SIGSTOP)
        try:
            page.clock.fast_forward(41_000)
            says(page.locator("h1"), "Not known: connection lost")
            says(page.locator("#lost"), "nothing was heard for 40 s")
        finally:
            world.daemon.process.send(signal.SIGCONT)
        page.get_by_role("button", name="Try now").click()
        live(opened)


def test_a_daemon_that_cannot_look_while_its_connections_live_is_told_of(chromium: Chromium) -> None:
    with StatusServer(ill(datetime.now().astimezone())) as server, chromium.opened("about:blank") as opened:
        opened.page.clock.install()
        opened.page.goto(server.url)
        page = live(opened)
        server.looks = False
        page.clock.fast_forward(31_000)
        says(page.locator("#link"), "heard 0 s ago")
        page.clock.fast_forward(31_000)
        says(page.locator("#lost"), "the exporter cannot say how things are", "its disk is frozen or gone")


def test_a_page_whose_script_has_stopped_covers_itself(world: World, chromium: Chromium) -> None:
    age = "for (const it of document.querySelector('.veil').getAnimations()) it.currentTime = 95000"
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        opened.ask(age)
        expect(page.locator(".veil")).to_be_hidden(timeout=WAIT_MS)
        opened.ask("for (let timer = 1; timer < 1000; timer++) clearInterval(timer)")
        opened.ask(age)
        expect(page.locator(".veil")).to_be_visible()


# Hostile texts, and a policy that lets nothing


def test_markup_in_names_and_messages_stays_text(world: World, chromium: Chromium) -> None:
    (world.place / "name").write_text(f"{MARKUP}\u202egnp.exe")
    world.run(mode="light")
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        says(page.locator("#findings"), MARKUP + "\ufffdgnp.exe")  # what turns letters around is not even kept
        world.wish("fail")
        world.run()
        says(task(page), "Failed", MARKUP)
        says(page.locator("#todo"), TASK)
        assert opened.ask("document.querySelectorAll('img, main script').length") == 0
        assert in_order(opened)
    world.wish("well")
    (world.place / "name").write_text("door")
    world.run()


def test_what_hides_or_turns_letters_around_is_seen_as_an_escape(chromium: Chromium) -> None:
    told, hostile = ill(datetime.now().astimezone()), "a\u202eb\u200bc\u2066d\x1be\u3164f\U000e0041g"
    told["agents"][0]["agent"] = told["findings"][0]["subject"] = told["alerts"][0]["name"] = hostile
    told["alerts"][0]["labels"] = {hostile: hostile}
    told["to_do"][0]["remedy"] = told["to_do"][0]["command"] = hostile
    with StatusServer(told) as server, chromium.opened(server.url) as opened:
        page = live(opened)
        escaped = r"a\u202eb\u200bc\u2066d\u001be\u3164f\U000e0041g"
        places = "#agents h3, #findings td, #alerts h3, #alerts dt, #alerts dd, #todo [data-part=remedy]"
        for place in places.split(", "):
            says(page.locator(place).filter(has_text="202e"), escaped)
        says(page.locator("#todo code").first, escaped)
        expect(page.get_by_role("button", name=f"Restart {escaped}", exact=True)).to_have_count(1)
        names = "[...document.querySelectorAll('[aria-label], [title]')].map(it => it.ariaLabel + it.title).join('')"
        unseen = {"\u202e", "\u200b", "\u2066", "\x1b", "\u3164", "\U000e0041"}
        assert not unseen & set(opened.text() + opened.ask(names) + page.title())


def test_nothing_from_elsewhere_nothing_inline_and_no_text_that_becomes_markup(
    world: World, chromium: Chromium
) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        live(opened)
        opened.ask("document.head.append(Object.assign(document.createElement('style'), {textContent: '* {}'}))")
        opened.ask("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/'}))")
        wait_for(lambda: "img-src" in opened.ask("window.violations"), 30, "the picture is refused")
        assert "style-src-elem" in opened.ask("window.violations")
        refused = "(() => { try { document.body.innerHTML = 'x'; return ''; } catch (error) { return error.name; } })()"
        assert opened.ask(refused) == "TypeError"


# Keyboard, screen readers, phones


def test_a_task_is_started_by_keyboard_alone(world: World, chromium: Chromium) -> None:
    with chromium.opened(world.daemon.url + "/") as opened:
        page = live(opened)
        page.keyboard.press("Tab")
        assert opened.ask("document.activeElement.textContent") == "Skip to the answer"
        page.keyboard.press("Enter")
        assert opened.ask("document.activeElement.id") == "main"
        button = f"Start {TASK}"
        for _ in range(60):
            page.keyboard.press("Tab")
            if opened.ask("document.activeElement.getAttribute('aria-label')") == button:
                break
        assert opened.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert opened.ask("document.activeElement.value") == "full"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#token-field")).to_be_focused()
        page.keyboard.type(world.token)
        page.keyboard.press("Enter")
        says(page.locator("#said"), f"The start of {TASK} light was asked for.")
        expect(task(page).get_by_role("button", name=button)).to_be_focused()


def test_what_the_reader_does_stays_as_the_page_changes_and_nothing_jumps(world: World, chromium: Chromium) -> None:
    world.run()
    with chromium.opened(world.daemon.url + "/", width=360) as opened:
        page = live(opened)
        # A daemon that has only just begun still finds out how the agents are.
        says(page.locator("#agents [data-key=web]"), "unreachable")
        says(page.locator("#todo"), "web is unreachable")
        says(task(page), "Worked")
        task(page).locator("summary").click()
        run = task(page).locator("dl [data-key=Run] dd")
        before = run.inner_text()
        task(page).get_by_role("button", name=f"Start {TASK}").focus()
        place = "document.activeElement.getBoundingClientRect().top"
        before_it = opened.ask(place)
        opened.ask(_NOTE_JUMPS)
        world.wish("long")
        world.run()
        says(task(page), "3 of 10")
        world.let_go()
        expect(run).not_to_have_text(before, timeout=WAIT_MS)
        assert opened.ask("document.activeElement.getAttribute('aria-label')") == f"Start {TASK}"
        assert opened.ask(place) == pytest.approx(before_it, abs=1)  # a page is anchored to whole pixels
        assert opened.ask("window.jumps") == []
        expect(task(page).locator("dl")).to_be_visible()


@pytest.mark.parametrize("width", [360, 900, 1280])
def test_a_run_that_begins_moves_nothing_however_long_it_is_since(chromium: Chromium, width: int) -> None:
    # The page's clock stands still at noon: what other rows say of their times may take a line more as it goes on.
    now = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
    places = """[...document.querySelectorAll("#tasks tr, #tasks strong, #tasks .state time")]
        .map(it => it.getBoundingClientRect()).map(({left, top, bottom}) => [left, top, bottom])"""
    with StatusServer(well(now)) as server, chromium.opened("about:blank", width=width) as opened:
        opened.page.clock.set_fixed_time(now)
        opened.page.goto(server.url)
        row = task(live(opened), "log-rotation")
        says(row, "Worked")
        before = opened.ask(places)
        for minutes in (0, 12, 59):
            server.status = told = well(now)
            rotation = next(one for one in told["tasks"] if one["task"] == "log-rotation")
            since = (now - timedelta(minutes=minutes)).isoformat(timespec="seconds")
            rotation["running"] = {
                "since": since, "done": 3, "total": 10, "ratio": 0.3, "message": "web.log", "ours": True,
            }  # fmt: skip
            expect(row.locator(".state time")).to_have_attribute("datetime", since, timeout=WAIT_MS)
            assert opened.ask(places) == before


# A radio button is pressed by its label; the way past the bar is for keyboards.
_TOO_LOW = """[...document.querySelectorAll("a, button, input:not([type=radio]), select, summary, label")]
    .filter(it => it.checkVisibility() && !it.matches(".skip, label:has(:not([type=radio]):is(input, select))"))
    .filter(it => it.offsetHeight < 44).map(it => it.outerHTML)"""


@pytest.mark.parametrize(
    ("scheme", "width", "dialog"),
    [
        ("light", 1280, ""),
        ("dark", 360, ""),
        ("dark", 1280, "token"),
        ("light", 360, "start"),
        ("dark", 360, "confirm"),
    ],
)
def test_everybody_can_use_it(chromium: Chromium, scheme: str, width: int, dialog: str) -> None:
    buttons = {"token": "Enter token", "start": "Start agent-monitor", "confirm": "Restart research"}
    with (
        StatusServer(ill(datetime.now().astimezone())) as server,
        chromium.opened(server.url, width=width, color_scheme=scheme, reduced_motion="reduce") as opened,
    ):
        page = live(opened)
        opened.ask("document.querySelectorAll('details').forEach(details => details.open = true)")
        if dialog:
            page.get_by_role("button", name=buttons[dialog]).click()
        assert opened.grave_violations() == []
        assert opened.ask("document.documentElement.scrollWidth") == width
        assert width > 360 or opened.ask(_TOO_LOW) == []


def test_a_deduction_of_many_digits_stays_on_its_line(chromium: Chromium) -> None:
    told = ill(datetime.now().astimezone())
    told["scores"][0]["deductions"][0]["points"] = 1500.0
    with StatusServer(told) as server, chromium.opened(server.url) as opened:
        live(opened)
        heights = "[...document.querySelectorAll('.deductions [data-part=points]')].map(it => it.offsetHeight)"
        assert len(set(opened.ask(heights))) == 1


def test_addresses_of_remedies_and_runbooks_can_be_followed_and_nothing_else_becomes_one(chromium: Chromium) -> None:
    told = ill(datetime.now().astimezone())
    told["to_do"][0]["remedy"] = "see (https://runbooks.example/AgentDown?a=1), or `docker ps`, or javascript:alert(1)."
    with StatusServer(told) as server, chromium.opened(server.url) as opened:
        first = live(opened).locator("#todo [data-part=remedy]").first
        says(first, told["to_do"][0]["remedy"].replace("`", ""))
        links = "[...document.querySelectorAll('#todo a')].map(it => [it.href, it.rel])"
        assert opened.ask(links) == [["https://runbooks.example/AgentDown?a=1", "noopener noreferrer"]]
        assert first.locator("code").all_text_contents() == ["docker ps"]
        runbooks = opened.page.locator("#alerts").get_by_role("link")
        assert [link.get_attribute("href") for link in runbooks.all()] == [RUNBOOK]
        says(opened.page.locator("#alerts li").first, f"Runbook: {RUNBOOK}")


def test_everybody_can_see_that_the_connection_is_lost(chromium: Chromium) -> None:
    with (
        StatusServer(ill(datetime.now().astimezone())) as server,
        chromium.opened(server.url, color_scheme="dark") as opened,
    ):
        live(opened)
        server.close()
        says(opened.page.locator("h1"), "connection lost")
        assert opened.grave_violations() == []


def test_findings_are_narrowed_by_text_and_severity(chromium: Chromium) -> None:
    with StatusServer(ill(datetime.now().astimezone())) as server, chromium.opened(server.url) as opened:
        page = live(opened)
        rows, shown = page.locator("#findings tbody tr"), page.locator("#findings-shown")
        assert rows.count() == 6
        page.get_by_label("Severity").select_option("3")
        says(shown, "4 of 6 match")
        page.get_by_label("Text").fill("REDIS")
        says(shown, "1 of 6 match")
        says(rows, "It listens on 0.0.0.0")
        page.get_by_label("Text").fill("nowhere")
        says(page.locator("#findings .empty"), "None")
        assert server.asked_for_findings == 0


# Much to show


def test_a_filter_looks_at_all_findings_and_says_how_many_there_are(chromium: Chromium) -> None:
    told, found = crowded(datetime.now().astimezone(), agents=5, findings=2000)
    with StatusServer(told, findings=found) as server, chromium.opened(server.url) as opened:
        page = live(opened)
        section, rows = page.locator("#findings"), page.locator("#findings tbody tr")
        says(section, "500 critical, 500 high, 500 medium, 500 low", "The first 50 of 2,000 are shown.")
        assert server.asked_for_findings == 0
        page.get_by_label("Text").fill("thing-1999")
        says(page.locator("#findings-shown"), "1 of 2,000 match")
        says(rows, "thing-1999")
        page.get_by_label("Text").fill("")
        page.get_by_label("Severity").select_option("3")
        says(section, "1,000 of 2,000 match", "The first 50 of 1,000 are shown.")
        section.get_by_role("button", name="Show 50 more of Findings").click()
        expect(rows).to_have_count(100, timeout=WAIT_MS)
        assert server.asked_for_findings == 1
        assert in_order(opened)


def test_findings_that_cannot_be_had_are_told_of_and_asked_for_again(chromium: Chromium) -> None:
    told, found = crowded(datetime.now().astimezone(), agents=5, findings=60)
    with StatusServer(told) as server, chromium.opened("about:blank") as opened:
        opened.page.clock.install()
        opened.page.goto(server.url)
        page = live(opened)
        page.get_by_label("Text").fill("thing-59")
        says(page.locator("#findings-shown"), "0 of 60 match among the 50 worst", "the findings cannot be read")
        server.findings = found
        page.clock.fast_forward(11_000)
        says(page.locator("#findings-shown"), "1 of 60 match")
        expect(page.locator("#findings-shown")).not_to_contain_text("among")


def test_ten_thousand_agents_are_narrowed_the_ill_ones_first(chromium: Chromium) -> None:
    told, found = crowded(datetime.now().astimezone(), agents=10_000, findings=2000)
    with StatusServer(told, findings=found) as server, chromium.opened(server.url) as opened:
        page = live(opened)
        section, cards = page.locator("#agents"), page.locator("#agents li")
        says(section, "9,000 of 10,000 healthy", "The first 60 of 10,000 are shown.")
        says(cards.first, "unreachable")
        assert opened.ask("document.querySelectorAll('*').length") < 8000
        page.get_by_label("Name or state").fill("agent-9999")
        says(section, "1 of 10,000 match")
        says(cards, "healthy")
        page.get_by_label("Name or state").fill("unreachable")
        says(section, "1,000 of 10,000 match", "The first 60 of 1,000 are shown.")
        server.status = {**told, "agents": told["agents"][-3:]}
        says(section, "of 3 match")
        expect(page.get_by_label("Name or state")).to_be_visible()  # what narrows them is never out of sight
        page.get_by_label("Name or state").fill("")
        expect(cards).to_have_count(3)
        assert in_order(opened)


# How it is served


def test_it_is_small_compressed_and_asked_for_again_for_nothing(world: World) -> None:
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) < 100_000
    for path in ("/", *(f"/assets/{file.name}" for file in ASSETS.iterdir() if file.suffix != ".html")):
        packed = world.daemon.get(path, headers={"Accept-Encoding": "gzip"}, stream=True)
        assert packed.headers["Content-Encoding"] == "gzip", path
        content = gzip.decompress(packed.raw.read(decode_content=False))
        plain = world.daemon.get(path, headers={"Accept-Encoding": "identity"})
        assert (plain.status_code, plain.content) == (200, content), path
        assert plain.headers["Cache-Control"] == "no-cache"
        again = world.daemon.get(path, headers={"If-None-Match": plain.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b""), path


@pytest.mark.parametrize(
    "path", ["/assets/", "/assets/none.js", "/assets/index.html", "/assets/..%2f__init__.py", "/assets/APP.JS"]
)
def test_nothing_else_is_served(world: World, path: str) -> None:
    assert world.daemon.get(path).status_code == 404


def test_without_script_there_are_the_addresses(world: World, chromium: Chromium) -> None:
    page = world.daemon.get("/").text
    for address in ("figures", "-/healthy", "-/ready", "api/v1/status"):
        assert f'href="{address}"' in page
    assert TASK not in page
    with chromium.opened(world.daemon.url + "/", java_script_enabled=False) as opened:
        assert "Without it there is the command sutazai-exporter status" in opened.page.inner_text("body")
        assert opened.page.locator("footer a").first.get_attribute("href") == "figures"
