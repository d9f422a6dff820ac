"""Renewals that go wrong: the old pair stays in service, and no moment has a pair that does not belong together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.certificates import check, issue
from jobs.clients.certificates import read_certificate, read_key
from jobs.clients.errors import ClientError
from tests.services.agent_runs import kinds, sample
from tests.services.binaries import need, need_root
from tests.services.certificate_runs import CertificateRuns
from tests.services.certificates import fingerprint_of, is_pair, make, make_ca
from tests.services.clocks import Faketime
from tests.services.disks import ext4, make_read_only
from tests.services.postgres import PostgresServer
from tests.services.process import quick_directory
from tests.services.tls_server import TlsServer
from tests.services.trees import tree_digest
from tests.services.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path) -> CertificateRuns:
    """A pair of our own in use."""
    runs = CertificateRuns(tmp_path / "base")
    assert runs.run().status == "RENEWED"
    return runs


@pytest.fixture
def memory() -> Iterator[Path]:
    """Where renewals by the dozen need not wait for a disk."""
    with quick_directory() as directory:
        yield Path(directory)


def endpoint(server: TlsServer) -> dict[str, Any]:
    return {"address": server.address, "certificate": "ssl/cert.pem"}


# --- fault 38 ---


@pytest.mark.parametrize("fault", ["deaf", "dies"])
def test_a_service_that_does_not_take_the_new_one_brings_the_old_pair_back(
    here: CertificateRuns, tmp_path: Path, fault: str
) -> None:
    old, version = fingerprint_of(here.cert), here.cert.resolve().parent.name
    with (
        TlsServer(here.cert, here.key, tmp_path, **{fault: True}) as bad,
        TlsServer(here.cert, here.key, tmp_path) as good,
    ):
        result = here.run(
            "force",
            reload_timeout_seconds=1,
            services=[{"command": bad.reload_command}, {"command": good.reload_command}],
            endpoints=[endpoint(bad), endpoint(good)],
        )
        assert good.fingerprint() == old, "who had taken the new one was told again"
    assert fingerprint_of(here.cert) == old
    assert here.cert.resolve().parent.name == version
    assert is_pair(here.cert, here.key)
    [finding] = [f for f in result.findings if f.kind == "renewal_failed"]
    assert "the old pair is in service" in finding.message
    assert bad.address in finding.message
    assert (result.verdict, here.state()["switching"]) == (3, None)
    assert sample(result, "sutazai_certificate_renewals_total", result="rolled_back") == 1
    assert sample(result, "sutazai_certificate_renewal_successful") == 0
    assert sample(here.run("watch"), "sutazai_certificate_renewal_successful") == 0


def test_after_a_rollback_a_mended_service_takes_the_next_one(here: CertificateRuns, tmp_path: Path) -> None:
    with TlsServer(here.cert, here.key, tmp_path, deaf=True) as server:
        here.settings |= {"services": [{"command": server.reload_command}], "endpoints": [endpoint(server)]}
        assert "renewal_failed" in kinds(here.run("force", reload_timeout_seconds=1))
        server._deaf = False
        assert here.run("force").status == "RENEWED"
        assert server.fingerprint() == fingerprint_of(here.cert)
    assert sample(here.run("watch"), "sutazai_certificate_renewal_successful") == 1


def test_a_failure_is_told_until_a_run_in_which_nothing_fails(here: CertificateRuns, tmp_path: Path) -> None:
    with TlsServer(here.cert, here.key, tmp_path, deaf=True) as server:
        services, endpoints = [{"command": server.reload_command}], [endpoint(server)]
        here.run("force", services=services, endpoints=endpoints, reload_timeout_seconds=1)
    for mode, told in (("watch", 0), ("standard", 1), ("watch", 1)):
        assert sample(here.run(mode), "sutazai_certificate_renewal_successful") == told


def test_an_expired_pair_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    here = CertificateRuns(tmp_path / "base", adopt_self_signed=True)
    make(days_left=-1).write(here.ssl)
    with TlsServer(here.cert, here.key, tmp_path, deaf=True) as server:
        services, endpoints = [{"command": server.reload_command}], [endpoint(server)]
        result = here.run(services=services, endpoints=endpoints, reload_timeout_seconds=1)
    assert "not_taken" in kinds(result)
    assert result.verdict == 3
    assert sample(result, "sutazai_certificate_valid", certificate="ssl/cert.pem") == 1


BAD_PAIRS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "mismatched pair": lambda: (make().cert_pem, make().key_pem),
    "truncated PEM": lambda: ((one := make()).cert_pem[:300], one.key_pem),
    "expired": lambda: ((one := make(days_left=-1)).cert_pem, one.key_pem),
    "wrong SAN": lambda: ((one := make(("other.org",))).cert_pem, one.key_pem),
    "weak": lambda: ((one := make(issue_names(), rsa_bits=1024)).cert_pem, one.key_pem),
    "of another CA": lambda: ((one := make(issue_names(), ca=make_ca())).cert_pem, one.key_pem),
    "no key": lambda: (make(issue_names()).cert_pem, b""),
}


def issue_names() -> tuple[str, ...]:
    return ("localhost", "*.localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize("fault", BAD_PAIRS)
def test_a_bad_new_pair_is_found_before_anything_uses_it(
    here: CertificateRuns, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, versions = fingerprint_of(here.cert), here.versions()

    def make_badly(*_: object) -> issue.Pair:
        return issue.Pair(*BAD_PAIRS[fault]())

    # Stands for an issuer that errs; ours cannot be made to.
    monkeypatch.setattr("jobs.certificates.renewal.issue", make_badly)
    result = here.run("force")
    assert "renewal_failed" in kinds(result)
    assert (fingerprint_of(here.cert), here.versions()) == (old, versions)
    assert list((here.ssl / "versions").glob(".*")) == []
    assert is_pair(here.cert, here.key)


def test_the_trial_handshake_is_what_a_strict_client_does(tmp_path: Path) -> None:
    good = make(("localhost",)).write(tmp_path / "good")
    check.handshake(tmp_path / "good", tmp_path / "good/cert.pem", "localhost")
    with pytest.raises(ClientError, match="fails a TLS handshake"):
        check.handshake(tmp_path / "good", tmp_path / "good/cert.pem", "other.org")
    other = make(("localhost",)).write(tmp_path / "other")
    with pytest.raises(ClientError, match="fails a TLS handshake"):
        check.handshake(tmp_path / "good", tmp_path / "other/cert.pem", "localhost")
    assert good.fingerprint != other.fingerprint


# --- killed ---


@pytest.mark.parametrize("begin", ["none", "plain", "linked"])
def test_killed_at_any_change_the_pair_belongs_together_and_the_next_run_goes_on(memory: Path, begin: str) -> None:
    template = CertificateRuns(memory / "template", adopt_self_signed=begin == "plain")
    template.base_dir.mkdir()
    if begin == "plain":
        make(issue_names(), days_left=5).write(template.ssl)
    if begin == "linked":
        template.run()
    before = fingerprint_of(template.cert) if begin != "none" else ""
    (memory / "work").mkdir()
    command = [sys.executable, "-m", "tests.services.killed_renewals", template.base_dir, memory / "work"]
    settings = {"adopt_self_signed": begin == "plain"}
    done = subprocess.run(
        [*map(str, command), "force", json.dumps(settings)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = int(done.stdout)
    assert count > 20
    for at in range(1, count + 1):
        runs = CertificateRuns(memory / "work" / str(at), **settings)
        if begin != "none" or (runs.cert.exists() and runs.key.exists()):
            assert belong_together(runs), at
        if begin != "none" and at < 5:
            assert fingerprint_of(runs.cert) == before
        result = runs.run()
        assert set(kinds(result)) == set(), (at, result.findings)
        assert belong_together(runs), at
        assert runs.state()["switching"] is None
        known = {one["fingerprint"] for one in runs.state()["issued"]} | {before}
        assert read_certificate(runs.cert).fingerprint in known


def belong_together(runs: CertificateRuns) -> bool:
    """Whether the pair is one, told without a new process for each of many."""
    return read_certificate(runs.cert).key_digest == read_key(runs.key).key_digest


def test_who_looks_all_the_time_sees_whole_pairs_only(memory: Path) -> None:
    here = CertificateRuns(memory / "base", adopt_self_signed=True)
    make(issue_names(), days_left=5).write(here.ssl)
    stop = memory / "stop"
    command = [sys.executable, "-m", "tests.services.pair_watcher", str(here.cert), str(here.key), str(stop)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watcher:
        wait_for(stop.with_suffix(".begun").exists, 30, "the watcher looks")
        assert here.run().status == "RENEWED"
        for _ in range(25):
            assert here.run("force").status == "RENEWED"
        stop.touch()
        printed, _ = watcher.communicate(timeout=60)
    looks, pairs, *wrong = printed.split(maxsplit=2)
    assert wrong == []
    assert int(looks) > 10
    assert int(pairs) > 1


def test_a_switch_that_was_cut_short_is_finished_by_the_next_run(
    here: CertificateRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TlsServer(here.cert, here.key, tmp_path) as server:
        here.settings |= {"services": [{"command": server.reload_command}], "endpoints": [endpoint(server)]}

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("jobs.certificates.services.reload", killed)
            with pytest.raises(KeyboardInterrupt):
                here.run("force")
        new = fingerprint_of(here.cert)
        assert server.fingerprint() != new
        assert [a.verb for a in here.run(dry_run=True).actions] == ["reload", "check"]
        assert here.run().status == "RENEWED"
        assert (server.fingerprint(), fingerprint_of(here.cert)) == (new, new)
    assert here.state()["switching"] is None


# --- disks ---


def test_a_full_disk_leaves_the_old_pair_and_nothing_half_done(tmp_path: Path) -> None:
    with ext4(8) as mount:
        here = CertificateRuns(mount / "base")
        assert here.run().status == "RENEWED"
        old = fingerprint_of(here.cert)
        fill(mount)
        result = here.run("force")
        assert "renewal_failed" in kinds(result)
        assert "No space left on device" in str(result.findings)
        assert fingerprint_of(here.cert) == old
        assert is_pair(here.cert, here.key)
        assert list(mount.rglob("*.tmp")) == []
        (mount / "fill").unlink()
        assert here.run("force").status == "RENEWED"


def test_a_read_only_disk_is_a_failed_renewal_and_the_inventory_goes_on(tmp_path: Path) -> None:
    with ext4(8) as mount:
        here = CertificateRuns(mount / "base")
        assert here.run().status == "RENEWED"
        old = fingerprint_of(here.cert)
        make_read_only(mount)
        result = here.run("force")
        assert {"renewal_failed", "state_not_saved"} <= set(kinds(result))
        assert sample(result, "sutazai_certificate_valid", certificate="ssl/cert.pem") == 1
        assert fingerprint_of(here.cert) == old


RUN = """import sys
from pathlib import Path
from tests.services.certificate_runs import CertificateRuns
print(*sorted({finding.kind for finding in CertificateRuns(Path(sys.argv[1])).run("force").findings}))
"""


@pytest.mark.parametrize(
    "prefix",
    [
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO"],
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=rename:error=EIO"],
        ["prlimit", "--fsize=300"],
    ],
    ids=["fsync fails", "rename fails", "files may not grow"],
)
def test_a_disk_that_refuses_is_a_failed_renewal_and_the_old_pair_stays(
    here: CertificateRuns, prefix: list[str]
) -> None:
    program = need(prefix[0], package={"prlimit": "util-linux"}.get(prefix[0], prefix[0]))
    assert here.run("force").status == "RENEWED"
    before = _without_marks(here)
    command = [program, *prefix[1:], sys.executable, "-c", RUN, str(here.base_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["renewal_failed", "state_not_saved"], done.stderr
    assert _without_marks(here) == before, "nothing half done is left"
    assert here.run("force").status == "RENEWED"


def _without_marks(here: CertificateRuns) -> dict[str, str]:
    """All files but the mark of the clock, which is small enough for many a disk that refuses the rest."""
    return {name: told for name, told in tree_digest(here.base_dir).items() if not name.startswith("data/clock/")}


def fill(mount: Path) -> None:
    """Use up all of a file system, for root as well."""
    with (mount / "fill").open("wb", buffering=0) as file:
        for size in (1 << 16, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


# --- time ---


def test_a_year_on_it_is_renewed_but_not_in_the_run_that_finds_the_clock_set(
    tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]], faketime: Faketime
) -> None:
    cert = tmp_path / "base" / "ssl" / "cert.pem"

    def run() -> tuple[int, str, str]:
        config = {"jobs": {"certificate_renewal": {"key_type": "ecdsa"}}}
        done = run_cli("run", "certificate-renewal", "--json", config=config, env=faketime.environment)
        result = json.loads(done.stdout)["result"]
        return done.returncode, result["status"], fingerprint_of(cert)

    code, status, first = run()
    assert (code, status) == (0, "RENEWED")
    faketime.move(340 * 86400)
    assert run() == (1, "WARNING", first)
    code, status, second = run()
    assert (code, status) == (0, "RENEWED")
    assert second != first
    assert run() == (0, "VALID", second)


# --- a real service ---


def test_postgresql_takes_the_new_certificate_on_sighup(
    tmp_path: Path, postgres_factory: Callable[..., PostgresServer], postgres_server: PostgresServer
) -> None:
    need_root("becoming PostgreSQL's user")
    base = postgres_server.directory / "certificate-renewal"
    here = CertificateRuns(base)
    try:
        assert here.run().status == "RENEWED"
        # Its key must be its own, with nobody else's bits: ownership is kept from one version to the next.
        shutil.chown(here.key.resolve(), "postgres", "postgres")
        secure = postgres_factory(ssl="on", ssl_cert_file=here.cert, ssl_key_file=here.key)
        here.settings |= {
            "services": [{"command": ["kill", "-HUP", str(secure.pid)]}],
            "endpoints": [
                {"address": f"127.0.0.1:{secure.port}", "protocol": "postgres", "certificate": "ssl/cert.pem"}
            ],
        }
        old = fingerprint_of(here.cert)
        result = here.run("force")
        assert (result.status, kinds(result)) == ("RENEWED", [])
        assert fingerprint_of(here.cert) != old
        assert here.key.stat().st_uid == (base.parent / "data").stat().st_uid
        # Not told, it goes on with the old one, which then comes back.
        here.settings["services"] = [{"command": ["true"]}]
        here.settings["reload_timeout_seconds"] = 0.5
        result = here.run("force")
        assert "renewal_failed" in kinds(result)
    finally:
        shutil.rmtree(base, ignore_errors=True)
