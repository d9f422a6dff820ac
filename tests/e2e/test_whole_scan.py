"""A whole security scan with real parts: Docker, Semgrep, Trivy where it is installed, files, configuration.

What is planted is found in every area, told without a secret, and told as fixed once it is. Scanners that knock at the
doors of this machine stay at home: behind some of them are servers of other tests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.planted import mixed
from tests.services.trivy import CLEAN, PROGRAMS, TOKEN, WEAK, make_database, make_images, program

PASSWORD, KEY = "sutazai-canary-7Q", "ghp_" + mixed(36)
AREAS = ("containers", "filesystem", "network", "code", "configuration")


def config_of(base: Path, engine: DockerEngine, semgrep: str, trivy: str, cache_dir: Path) -> dict[str, Any]:
    return {
        "docker": {"url": engine.url},
        "textfile": {"directory": base.parent / "textfile"},
        "jobs": {
            "security_scan": {
                "disabled_scanners": ["services", "tls"],
                "containers": {"trivy": {"program": trivy, "cache_dir": cache_dir}},
                "code": {"semgrep": semgrep, "paths": [base / "src"]},
                "configuration": {"host_root": base / "no-host", "servers": False},
                "filesystem": {"full_directories": [], "full_search_directories": [], "run_by_root": []},
            }
        },
    }


def plant(base: Path) -> None:
    (base / "src").mkdir(parents=True)
    (base / "src" / "handler.py").write_text("def handle(request):\n    return eval(request.args['x'])\n")
    (base / "src" / "settings.py").write_text(f'GITHUB_TOKEN = "{KEY}"\n')
    (base / "docker-compose.yml").write_text(
        f"services:\n  db:\n    image: postgres:16.4\n    ports: ['5432:5432']\n    environment:\n"
        f"      POSTGRES_PASSWORD: postgres\n      BACKUP_PASSWORD: '{PASSWORD}'\n"
    )
    open_file = base / "secrets_secure" / "api_token"
    open_file.parent.mkdir(mode=0o700)
    open_file.write_text(PASSWORD)
    open_file.chmod(0o644)


def mend(base: Path) -> None:
    (base / "src" / "handler.py").write_text("def handle(request):\n    return int(request.args['x'])\n")
    (base / "src" / "settings.py").write_text('GITHUB_TOKEN = os.environ["GITHUB_TOKEN"]\n')
    (base / "docker-compose.yml").write_text(
        "services:\n  db:\n    image: postgres:16.4\n    ports: ['127.0.0.1:5432:5432']\n    environment:\n"
        "      POSTGRES_PASSWORD_FILE: /run/secrets/db\n"
    )
    (base / "secrets_secure" / "api_token").chmod(0o600)


def rules(report: dict[str, Any]) -> dict[str, set[str]]:
    return {area: {one["rule"] for one in report["results"][area]["findings"]} for area in AREAS}


def test_what_is_planted_is_found_in_every_area_and_gone_once_it_is_mended(
    run_cli: Callable[..., Any], docker_clean: DockerEngine, semgrep: str, tmp_path: Path
) -> None:
    base, cache_dir = tmp_path / "base", tmp_path / "cache"
    plant(base)
    images = make_images(docker_clean)
    recordings = {str(image.id): "without-packages" for image in docker_clean.client.images.list()}
    trivy = program(PROGRAMS[-1], tmp_path, recordings | {images[WEAK]: "weak", images[CLEAN]: "clean"})
    make_database(cache_dir)
    docker_clean.client.containers.create(WEAK, ["/bin/sleep", "1"], name="weak", network_mode="host")
    docker_clean.client.containers.create(AGENT_IMAGE, ["/bin/true"], name="boss", privileged=True)
    config = config_of(base, docker_clean, semgrep, trivy, cache_dir)

    def scan() -> tuple[Any, dict[str, Any]]:
        done = run_cli("run", "security-scan", "--mode", "full", config=config, timeout_seconds=300)
        return done, json.loads((base / "reports" / "security" / "latest_security_report.json").read_text())

    done, report = scan()
    assert (done.returncode, report["summary"]["overall_risk"]) == (3, "CRITICAL"), done.stderr
    found = rules(report)
    assert found["containers"] >= {"privileged_container", "CVE-2023-5363", "secret_in_environment"}, found
    assert found["filesystem"] >= {"secret_file_open", "secret_github_token"}
    assert found["code"] == {"python-eval"}
    assert found["configuration"] >= {"default_password", "database_port_on_all_addresses"}
    assert report["summary"]["scanners"]["unknown"] == []
    assert {"services", "tls"} <= set(report["summary"]["scanners"]["off"])
    assert_no_secret_is_told(base, done)

    docker_clean.clean()
    docker_clean.client.images.remove(WEAK)
    mend(base)
    done, report = scan()
    assert {one["rule"] for one in report["fixed"]} >= {
        *("privileged_container", "CVE-2023-5363", "secret_file_open", "secret_github_token", "python-eval"),
        *("default_password", "database_port_on_all_addresses"),
    }, report["fixed"]
    assert found["code"] and not rules(report)["code"]
    exposition = (tmp_path / "textfile" / "sutazai.prom").read_text()
    assert f"sutazai_security_score {report['summary']['security_score']:g}\n" in exposition
    assert 'sutazai_security_scanner_success{scanner="semgrep",area="code"} 1\n' in exposition
    assert_no_secret_is_told(base, done)


def assert_no_secret_is_told(base: Path, done: Any) -> None:
    shutil.rmtree(base / "data" / "locks")
    told = {"stdout": done.stdout, "stderr": done.stderr}
    for directory in ("reports", "logs", "data"):
        files = [file for file in (base / directory).rglob("*") if file.is_file()]
        told |= {str(file): file.read_bytes().decode(errors="replace") for file in files}
    assert len(told) >= 8, told.keys()
    for secret in (PASSWORD, KEY, TOKEN):
        assert [name for name, text in told.items() if secret in text or secret[4:-4] in text] == []
