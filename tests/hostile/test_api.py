"""Requests to the API that are meant to hurt: names of reports, bodies, other sites."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Iterator

import pytest
import requests

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work

START = f"/api/v1/tasks/{TASK}/start"
JSON = {"Content-Type": "application/json"}
PAGE = '"<script>alert(1)</script><a href=javascript:alert(2)>x</a>"'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterDaemon]:
    package = TrialPackage(tmp_path_factory.mktemp("package") / "package")
    job = package.directory / "jobs" / "trial_work.py"
    job.write_text(job.read_text().replace('log_stem="trial"', 'log_stem="trial", renderings=(".html",)'))
    code = f"result = Result(status='X', report={{'a': {PAGE}}}, renderings={{'.html': {PAGE}}})"
    running = ExporterDaemon(work(code), environment=package.environment)
    start(running)
    wait_runs(running, "ok")
    (running.base_dir / "reports" / "secret.json").write_text("canary-file")
    (running.base_dir / "secrets_secure" / "key.json").write_text("canary-file")
    reports = running.base_dir / "reports" / "trial"
    (reports / "trial_report_20200101_000000.json").symlink_to(running.base_dir / "secrets_secure" / "key.json")
    yield running
    assert "Traceback" not in running.log()
    running.close()


@pytest.fixture
def headers(daemon: ExporterDaemon) -> dict[str, str]:
    return operator(daemon)


def raw(daemon: ExporterDaemon, request: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return int(found[1]) if found else 0, received


def newest(daemon: ExporterDaemon) -> str:
    (report,) = daemon.get("/api/v1/reports").json()["reports"]
    return str(report["id"])


# Reports


@pytest.mark.parametrize(
    "name",
    ["../secret", "..%2fsecret", "%2e%2e/secret", "%2e%2e%2fsecret", "%2e%2e%2f%2e%2e%2fsecrets_secure%2fkey",
     "..%5csecret", "%00", "trial_report_20200101_000000", "trial_report_20200101_000000%00", "/etc/passwd",
     "%2fetc%2fpasswd", "latest_trial_report", "secret", "secret.json", ".", "..", "%2e", "trial%2f..%2f..%2fsecret",
     "a" * 5000, "%ff%fe", "trial_report_20200101_000000.json", "trial/trial_report_20200101_000000", "*", "%2a"],
    ids=lambda name: name[:40],
)  # fmt: skip
@pytest.mark.parametrize("form", ["", "?format=json", "?format=html"])
def test_no_name_of_a_report_leads_to_another_file(daemon: ExporterDaemon, name: str, form: str) -> None:
    request = f"GET /api/v1/reports/{name}{form} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status, answer = raw(daemon, request.encode("latin-1"))
    assert status in (400, 404), answer[:300]
    assert b"canary-file" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("form", ["exe", "../json", "", "json.html", "JSON", "html&format=json"])
def test_a_form_that_is_none_is_400(daemon: ExporterDaemon, form: str) -> None:
    assert daemon.get(f"/api/v1/reports/{newest(daemon)}?format={form}").status_code == 400


def test_a_report_as_a_page_may_show_and_do_nothing(daemon: ExporterDaemon) -> None:
    for path in (f"/api/v1/reports/{newest(daemon)}?format=html", f"/api/v1/reports/latest/{TASK}?format=json"):
        assert daemon.get(path).headers["x-content-type-options"] == "nosniff"
    page = daemon.get(f"/api/v1/reports/{newest(daemon)}?format=html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>" in page.text, "it is as the run left it"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in policy
    assert "script-src" not in policy


# Bodies


@pytest.mark.parametrize(
    "body",
    [b'{"mode": "full", "mode": "light"}', b'{"mode": NaN}', b'{"mode": Infinity}', b'{"a":' * 50_000, b"\xff\xfe{}",
     b'{"mode": null}', b'{"mode": {}}', b'{"mode": "\\ud800"}', b'{"__proto__": "x"}', b'{"target": "a\\u0000"}',
     b'{"target": "../../x"}', b'{"dry_run": "true"}', b"null", b'"mode"', b"{}{}", b"{} x"],
    ids=lambda body: repr(body)[:30],
)  # fmt: skip
def test_a_hostile_body_starts_nothing(daemon: ExporterDaemon, headers: dict[str, str], body: bytes) -> None:
    before = ran(daemon)
    answer = daemon.post(START, data=body, headers={**headers, **JSON})
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ran(daemon) == before


def ran(daemon: ExporterDaemon) -> float:
    return sum(sample.value for sample in daemon.metrics().samples("sutazai_task_runs_total"))


def test_a_compressed_body_is_415(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    for coding in ("gzip", "deflate", "br", "identity, gzip"):
        said = {**headers, **JSON, "Content-Encoding": coding}
        assert daemon.post(START, data=gzip.compress(b"{}" + b" " * (1 << 20)), headers=said).status_code == 415


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_of_more_than_a_mebibyte_is_413_as_a_problem(
    daemon: ExporterDaemon, headers: dict[str, str], framing: str
) -> None:
    head = f"POST {START} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {headers['Authorization']}\r\n"
    head += "Content-Type: application/json\r\n"
    size = (1 << 20) + 1
    if framing == "length":
        request = f"{head}Content-Length: {size}\r\n\r\n".encode()
    else:
        request = f"{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode() + b" " * size + b"\r\n0\r\n\r\n"
    status, answer = raw(daemon, request)
    assert status == 413
    assert b"application/problem+json" in answer
    assert b'"status":413' in answer


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 2\r\nTransfer-Encoding: chunked", "Content-Length: 2\r\nContent-Length: 3",
     "Transfer-Encoding: identity, chunked, identity", "Transfer-Encoding: xchunked", "Content-Length: -1",
     "Content-Length: 0x2", "Content-Length : 2"],
)  # fmt: skip
def test_a_request_that_two_could_read_differently_is_refused(
    daemon: ExporterDaemon, headers: dict[str, str], framing: str
) -> None:
    before = ran(daemon)
    head = f"POST {START} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {headers['Authorization']}\r\n"
    request = f"{head}Content-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n{{}}"
    assert raw(daemon, request.encode())[0] in (0, 400)
    assert ran(daemon) == before


# Other sites


@pytest.mark.parametrize("path", [START, f"/api/v1/tasks/{TASK}/stop", "/api/v1/agents/a/restart",
                                  "/api/v1/agents/a/release", "/api/v1/remediations/1/approve",
                                  f"/api/automation/{TASK}/start"])  # fmt: skip
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_form_on_another_site_does_nothing_even_with_a_token(
    daemon: ExporterDaemon, headers: dict[str, str], path: str, content_type: str
) -> None:
    said = {"Content-Type": content_type, "Origin": "http://evil.example", "Cookie": "session=1"}
    assert daemon.post(path, data=b'{"mode":"full"}', headers=said).status_code == 401
    answer = daemon.post(path, data=b'{"mode":"full"}', headers={**said, **headers})
    assert answer.status_code == 415
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_no_answer_lets_another_site_in(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    """Whatever Origin says: it lets nobody in and keeps nobody out."""
    for origin in ("http://evil.example", "null", daemon.url):
        answer = daemon.get("/api/v1/status", headers={"Origin": origin})
        assert answer.status_code == 200
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/metrics", "/api/v1/tasks", "/api/v1/runs", "/api/v1/events", "/api/v1/alerts", "/api/automation/status"]
)
def test_every_other_method_is_405_and_says_which_it_takes(daemon: ExporterDaemon, path: str) -> None:
    for method in ("OPTIONS", "DELETE", "PATCH", "TRACE", "PUT"):
        answer = requests.request(method, daemon.url + path, timeout=20)
        assert answer.status_code == 405, method
        assert answer.headers["content-type"] == "application/problem+json"
        assert "GET" in answer.headers["allow"]
        assert (answer.json()["status"], "GET" in answer.json()["detail"]) == (405, True)


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/status", "/api/v1/tasks/", "/api/v1//tasks"]
)
def test_an_unknown_path_is_a_problem_and_redirects_nowhere(daemon: ExporterDaemon, path: str) -> None:
    answer = requests.get(daemon.url + path, timeout=20, allow_redirects=False, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("query", ["tsak=x", "limit=1&limit=2", "limit=1&x=", "Limit=1", "task[]=x"])
def test_a_query_with_a_wrong_letter_is_no_answer_about_everything(daemon: ExporterDaemon, query: str) -> None:
    assert daemon.get(f"/api/v1/runs?{query}").status_code == 400
