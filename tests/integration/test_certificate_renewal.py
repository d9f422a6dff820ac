"""Certificate renewal on real files and real TLS servers; openssl judges what was made."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.certificate_renewal import JOB, Settings
from jobs.certificates.issue import issue
from jobs.clients.certificates import facts_of
from jobs.core.job import JobError
from jobs.core.model import Request, Severity
from tests.services.agent_runs import actions, kinds, sample
from tests.services.binaries import need_root
from tests.services.certificate_runs import CertificateRuns
from tests.services.certificates import fingerprint_of, is_pair, make, make_ca, openssl
from tests.services.ports import free_port
from tests.services.tls_server import TlsServer
from tests.services.trees import tree_digest

NAMES = "DNS:example.org, DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., CertificateRuns]:
    def factory(**settings: Any) -> CertificateRuns:
        settings.setdefault("subject", {"domain": "example.org"})
        return CertificateRuns(tmp_path, **settings)

    return factory


def renewed_once(here: CertificateRuns) -> str:
    """A pair of our own, which is in use; its fingerprint."""
    assert here.run().status == "RENEWED"
    return fingerprint_of(here.cert)


def days(here: CertificateRuns, number: float) -> None:
    here.clock.advance(number * 86400)


# --- what is made ---


def test_a_missing_certificate_is_made_and_not_called_not_needed(runs: Callable[..., CertificateRuns]) -> None:
    here = runs(
        key_type="rsa", subject={"domain": "example.org", "organization": "A/B & C", "city": "Bern", "country": "CH"}
    )
    result = here.run()
    assert (result.status, result.verdict) == ("RENEWED", 0)
    text = openssl("x509", "-in", here.cert, "-noout", "-text")
    identifiers = ("X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier")
    uses = ("CA:FALSE", "TLS Web Server Authentication", "Digital Signature, Key Encipherment")
    for said in (NAMES, *uses, *identifiers, "Public-Key: (2048 bit)", "sha256WithRSAEncryption"):
        assert said in text
    assert "O = A/B & C" in openssl("x509", "-in", here.cert, "-noout", "-subject")
    arguments = ("-x509_strict", "-purpose", "sslserver", "-verify_hostname", "example.org")
    openssl("verify", *arguments, "-CAfile", here.cert, here.cert)
    assert is_pair(here.cert, here.key)
    assert stat.S_IMODE(here.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(here.cert.stat().st_mode) == 0o644
    assert sample(result, "sutazai_certificate_lifetime_seconds", certificate="ssl/cert.pem") == pytest.approx(
        365 * 86400, abs=7200
    )


def test_an_ecdsa_key_and_more_names_are_made_on_request(runs: Callable[..., CertificateRuns]) -> None:
    here = runs(extra_names=["www.example.org", "10.1.2.3", "localhost"], cert_validity_days=20)
    assert here.run().status == "RENEWED"
    text = openssl("x509", "-in", here.cert, "-noout", "-text")
    assert "NIST CURVE: P-256" in text
    assert text.count("DNS:localhost") == 1
    assert "DNS:www.example.org, IP Address:10.1.2.3" in text
    assert "Key Encipherment" not in text


@pytest.mark.parametrize("domain", ["*.example.org", "10.1.2.3", f"{'long-label.' * 12}org", "localhost"])
def test_any_domain_can_be_served(runs: Callable[..., CertificateRuns], domain: str) -> None:
    here = runs(subject={"domain": domain, "organization": 'Ünïcode, "quoted" $(id)'})
    assert here.run().status == "RENEWED"
    asked = domain.replace("*", "any")
    kind = "-verify_ip" if domain == "10.1.2.3" else "-verify_hostname"
    openssl("verify", kind, asked, "-CAfile", here.cert, here.cert)
    assert here.run().status == "VALID"


def test_a_private_ca_signs_and_a_certificate_never_outlives_it(
    tmp_path: Path, runs: Callable[..., CertificateRuns]
) -> None:
    root = make_ca()
    middle = make((), ca=root, is_ca=True, common_name="Middle", days_left=200)
    middle.write(tmp_path / "ca")
    (tmp_path / "ca" / "root.pem").write_bytes(root.cert_pem)
    (tmp_path / "ca" / "cert.pem").write_bytes(middle.cert_pem + root.cert_pem)
    (tmp_path / "ca" / "key.pem").write_bytes(middle.protected_key("canary-ca-password"))
    here = runs(ca_certificate="ca/cert.pem", ca_key="ca/key.pem", ca_key_password="canary-ca-password")
    result = here.run()
    assert (result.status, kinds(result)) == ("RENEWED", [])
    chain = here.cert.read_text()
    assert chain.count("BEGIN CERTIFICATE") == 2, "the certificate and the CA between, without the root"
    (tmp_path / "middle.pem").write_bytes(middle.cert_pem)
    openssl(
        "verify", "-x509_strict", "-CAfile", tmp_path / "ca/root.pem", "-untrusted", tmp_path / "middle.pem", here.cert
    )
    end = sample(result, "sutazai_certificate_expiry_timestamp_seconds", certificate="ssl/cert.pem")
    assert end == pytest.approx((datetime.now(UTC) + timedelta(days=200)).timestamp(), abs=3600)
    assert here.run().status == "VALID"


@pytest.mark.parametrize("broken", ["other key", "no password", "no CA", "expired", "missing"])
def test_a_ca_that_cannot_sign_leaves_everything_as_it_was(
    tmp_path: Path, runs: Callable[..., CertificateRuns], broken: str
) -> None:
    here = runs()
    renewed_once(here)
    before = tree_digest(here.ssl)
    ca = make_ca(days_left=-1) if broken == "expired" else make_ca()
    ca = make() if broken == "no CA" else ca
    ca.write(tmp_path / "ca")
    if broken == "other key":
        (tmp_path / "ca/key.pem").write_bytes(make_ca().key_pem)
    if broken == "no password":
        (tmp_path / "ca/key.pem").write_bytes(ca.protected_key("secret"))
    if broken == "missing":
        (tmp_path / "ca/key.pem").unlink()
    result = here.run("force", ca_certificate="ca/cert.pem", ca_key="ca/key.pem")
    assert "renewal_failed" in kinds(result)
    assert result.verdict == 3
    assert sample(result, "sutazai_certificate_renewals_total", result="failed") == 1
    assert sample(result, "sutazai_certificate_renewal_successful") == 0
    assert tree_digest(here.ssl) == before, "never a self-signed one instead"


# --- when ---


def test_nothing_is_renewed_before_its_time_unless_it_is_asked_for(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    first = renewed_once(here)
    assert here.run("force").status == "RENEWED"
    second = fingerprint_of(here.cert)
    assert second != first
    days(here, 334)
    result = here.run()
    assert (result.status, result.actions, fingerprint_of(here.cert)) == ("VALID", (), second)
    days(here, 1.5)
    assert "issue" in [action.verb for action in here.run(dry_run=True).actions]


def test_with_fewer_days_left_than_the_threshold_it_is_renewed_and_the_old_pair_kept(
    tmp_path: Path, runs: Callable[..., CertificateRuns]
) -> None:
    here = runs()
    make(days_left=29, names=("example.org",)).write(here.ssl)
    old_cert, old_key = here.cert.read_bytes(), here.key.read_bytes()
    result = here.run(adopt_self_signed=True)
    assert result.status == "RENEWED"
    [backup] = here.backups()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert ((backup / "cert.pem").read_bytes(), (backup / "key.pem").read_bytes()) == (old_cert, old_key)
    assert stat.S_IMODE((backup / "key.pem").stat().st_mode) == 0o600
    manifest = json.loads((backup / "manifest.json").read_text())
    assert manifest["fingerprint"] == fingerprint_of(backup / "cert.pem")
    assert manifest["files"]["cert.pem"]["size_bytes"] == len(old_cert)
    assert here.cert.is_symlink()
    assert here.key.is_symlink()
    assert is_pair(here.cert, here.key)


def test_a_short_life_is_renewed_with_a_third_of_it_left(runs: Callable[..., CertificateRuns]) -> None:
    here = runs(cert_validity_days=30, adopt_self_signed=True)
    make(names=("example.org",), age_days=19, days_left=11).write(here.ssl)
    assert here.run().status == "VALID"
    make(names=("example.org",), age_days=21, days_left=9).write(here.ssl)
    assert here.run().status == "RENEWED"


def test_another_name_in_the_settings_makes_a_new_certificate(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    renewed_once(here)
    here.subject = {"domain": "other.org"}
    assert here.run().status == "RENEWED"
    assert "DNS:other.org" in openssl("x509", "-in", here.cert, "-noout", "-ext", "subjectAltName")


def test_watching_changes_nothing_and_writes_no_report(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    here = runs(directories=["certs"])
    make(days_left=3).write(tmp_path / "certs")
    before = tree_digest(tmp_path)
    result = here.run("watch")
    assert (result.report, result.actions) == (None, ())
    assert tree_digest(tmp_path) == before
    assert kinds(result) == ["missing", "due"]
    assert result.verdict == 1


def test_what_was_not_made_yet_is_a_note_and_what_is_gone_a_problem(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    watched = here.run("watch")
    (not_yet,) = watched.findings
    assert (watched.status, watched.verdict) == ("NONE_YET", 0)
    assert (not_yet.severity, "the schedule does it" in not_yet.remedy) == ("low", True)
    renewed_once(here)
    here.cert.unlink()
    here.key.unlink()
    (gone,) = here.run("watch").findings
    assert (gone.kind, gone.severity) == ("missing", "medium")


def test_what_a_renewal_said_is_still_said_by_a_watch(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    renewed_once(here)
    result = here.run("watch")
    assert sample(result, "sutazai_certificate_renewal_successful") == 1
    assert sample(result, "sutazai_certificate_last_renewal_timestamp_seconds") == pytest.approx(
        datetime.now(UTC).timestamp(), abs=60
    )
    assert sample(result, "sutazai_certificate_renewals_total", result="renewed") == 0
    other = CertificateRuns(here.base_dir / "new").run("watch")
    assert sample(other, "sutazai_certificate_last_renewal_timestamp_seconds") is None


def test_a_clock_that_was_set_renews_nothing_in_that_run(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    first = renewed_once(here)
    here.settings["keep_versions"] = 2
    here.clock.set_wall(340 * 86400)
    result = here.run("force")
    assert "clock_set" in kinds(result)
    assert (result.actions, fingerprint_of(here.cert)) == ((), first)
    assert "issue" in [action.verb for action in here.run(dry_run=True).actions], "in that run, not for ever"


def test_a_clock_that_is_set_during_a_run_stops_it_before_the_switch(
    runs: Callable[..., CertificateRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = runs()
    first = renewed_once(here)

    def slow(*arguments: Any) -> Any:
        here.clock.set_wall(7200)
        return issue(*arguments)

    monkeypatch.setattr("jobs.certificates.renewal.issue", slow)
    monkeypatch.setattr("jobs.certificates.renewal.check_pair", lambda *_: FACTS)
    result = here.run("force")
    assert "the clock was set" in str(result.findings)
    assert fingerprint_of(here.cert) == first


FACTS = facts_of(make().certificate)
"""Of any certificate; the trial handshake would be made by the real clock."""


# --- whose it is ---


@pytest.mark.parametrize("mode", ["standard", "force"])
def test_what_another_ca_issued_is_never_replaced(runs: Callable[..., CertificateRuns], mode: str) -> None:
    here = runs()
    make(names=("example.org",), ca=make_ca(), days_left=-1).write(here.ssl)
    before = tree_digest(here.ssl)
    result = here.run(mode, adopt_self_signed=True)
    assert "not_ours" in kinds(result)
    assert result.verdict == 3
    assert tree_digest(here.ssl) == before
    [finding] = [f for f in result.findings if f.kind == "not_ours"]
    assert "renewal_command" in finding.remedy


def test_a_self_signed_one_that_was_not_made_here_is_left_alone_until_somebody_says_otherwise(
    runs: Callable[..., CertificateRuns],
) -> None:
    here = runs()
    made = make(names=("example.org",), days_left=5).write(here.ssl)
    result = here.run()
    assert "not_ours" in kinds(result)
    assert fingerprint_of(here.cert) == made.fingerprint
    assert here.run(adopt_self_signed=True).status == "RENEWED"


def test_a_ca_of_ours_makes_the_certificate_ours(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    ca = make_ca().write(tmp_path / "ca")
    here = runs(ca_certificate="ca/cert.pem", ca_key="ca/key.pem")
    make(names=("example.org",), ca=ca, days_left=5).write(here.ssl)
    assert here.run().status == "RENEWED"
    # Somebody of the same name as our CA has not signed with its key.
    make(names=("example.org",), ca=make_ca(), days_left=5).write(here.ssl)
    assert "not_ours" in kinds(here.run())


def test_a_domain_that_nobody_has_set_is_asked_of_nobody(tmp_path: Path) -> None:
    make(names=("example.org",), ca=make_ca()).write(tmp_path / "ssl")
    result = CertificateRuns(tmp_path).run()
    assert (result.verdict, kinds(result)) == (0, [])


def test_its_renewal_command_renews_what_others_issue(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    ca = make_ca()
    make(names=("example.org",), ca=ca, days_left=5).write(tmp_path / "ssl")
    fresh = make(names=("example.org",), ca=ca, days_left=90).write(tmp_path / "fresh")
    command = ["cp", *(str(tmp_path / "fresh" / name) for name in ("cert.pem", "key.pem")), str(tmp_path / "ssl")]
    here = runs(files=[{"path": "ssl/cert.pem", "renewal_command": command}])
    planned = here.run(dry_run=True)
    assert [(a.verb, a.done) for a in planned.actions] == [("back up", False), ("run", False)]
    result = here.run()
    assert (result.status, fingerprint_of(here.cert)) == ("RENEWED", fresh.fingerprint)
    assert not here.cert.is_symlink()
    assert len(here.backups()) == 1
    assert here.run().status == "VALID"


@pytest.mark.parametrize(
    ("command", "seconds", "told"),
    [
        (["false"], 60, "false ended with 1"),
        (["true"], 60, "the certificate is the one from before"),
        (["/nonexistent/certbot"], 60, "is not installed"),
        (["sleep", "30"], 0.3, "was not done after 0.3 s"),
        (["sh", "-c", "echo garbage >ssl/cert.pem"], 60, "is not a certificate in PEM form"),
    ],
)
def test_a_renewal_command_that_does_not_renew_is_a_failure(
    tmp_path: Path,
    runs: Callable[..., CertificateRuns],
    command: list[str],
    seconds: float,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(names=("example.org",), ca=make_ca(), days_left=5).write(tmp_path / "ssl")
    entry = {"path": "ssl/cert.pem", "renewal_command": command, "renewal_timeout_seconds": seconds}
    result = runs(files=[entry]).run()
    [finding] = [f for f in result.findings if f.kind == "renewal_failed"]
    assert told in finding.message
    assert finding.severity is Severity.CRITICAL
    assert sample(result, "sutazai_certificate_renewals_total", result="failed") == 1


def test_one_failing_command_does_not_stop_the_others(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    ca = make_ca()
    for name in ("a", "b"):
        make(ca=ca, days_left=5).write(tmp_path / name)
    make(ca=ca, days_left=80).write(tmp_path / "fresh")
    files = [
        {"path": "a/cert.pem", "renewal_command": ["false"]},
        {
            "path": "b/cert.pem",
            "renewal_command": ["cp", str(tmp_path / "fresh/cert.pem"), str(tmp_path / "b/cert.pem")],
        },
    ]
    result = runs(files=files).run()
    assert sample(result, "sutazai_certificate_renewals_total", result="failed") == 1
    assert sample(result, "sutazai_certificate_renewals_total", result="renewed") == 2, "b, and our own"


def test_a_command_that_this_run_has_no_time_for_is_left_to_the_next(
    tmp_path: Path, runs: Callable[..., CertificateRuns]
) -> None:
    make(ca=make_ca(), days_left=5).write(tmp_path / "a")
    entry = {"path": "a/cert.pem", "renewal_command": ["touch", str(tmp_path / "ran")], "renewal_timeout_seconds": 100}
    result = runs(files=[entry]).run(max_run_seconds=90)
    assert "postponed" in kinds(result)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
def test_a_corrupt_file_of_ours_is_made_anew(runs: Callable[..., CertificateRuns], broken: str) -> None:
    here = runs()
    renewed_once(here)
    (here.ssl / "current" / broken).write_bytes((here.ssl / broken).read_bytes()[:100])
    watched = here.run("watch")
    assert watched.verdict >= 2
    assert sample(watched, "sutazai_certificate_valid", certificate="ssl/cert.pem") == 0
    assert here.run().status == "RENEWED"
    assert is_pair(here.cert, here.key)
    assert (here.backups()[-1] / broken).stat().st_size == 100


def test_a_corrupt_file_of_nobody_knows_whom_is_a_finding(runs: Callable[..., CertificateRuns]) -> None:
    here = runs(adopt_self_signed=True)
    make(names=("example.org",)).write(here.ssl)
    here.cert.write_bytes(here.cert.read_bytes()[:200])
    before = tree_digest(here.ssl)
    for mode in ("standard", "force"):
        result = here.run(mode)
        assert {"unreadable", "unproven"} <= set(kinds(result))
        assert result.verdict == 2
        assert tree_digest(here.ssl) == before


def test_a_link_that_leads_nowhere_is_somebody_elses(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    here.ssl.mkdir()
    here.cert.symlink_to("/etc/letsencrypt/live/none/cert.pem")
    result = here.run()
    assert "unproven" in kinds(result)
    assert str(here.cert.readlink()) == "/etc/letsencrypt/live/none/cert.pem"


def test_a_memory_that_cannot_be_read_makes_nothing_ours(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    first = renewed_once(here)
    (here.base_dir / "data/certificate-renewal/state.json").write_text('{"issued": 1}')
    result = here.run("force")
    assert {"state_unreadable", "not_ours"} <= set(kinds(result))
    assert fingerprint_of(here.cert) == first
    assert list((here.base_dir / "data/certificate-renewal").glob("state.json.corrupt_*"))


# --- the plan ---


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    tmp_path: Path, runs: Callable[..., CertificateRuns]
) -> None:
    make(names=("example.org",), days_left=5).write(tmp_path / "ssl")
    with TlsServer(tmp_path / "ssl/cert.pem", tmp_path / "ssl/key.pem", tmp_path) as server:
        here = runs(
            adopt_self_signed=True,
            services=[{"command": server.reload_command}],
            endpoints=[{"address": server.address, "certificate": "ssl/cert.pem"}],
        )
        before = tree_digest(tmp_path)
        planned = here.run(dry_run=True)
        assert tree_digest(tmp_path) == before
        done = here.run()
    assert planned.report is None
    assert [(a.verb, a.subject) for a in planned.actions] == [(a.verb, a.subject) for a in done.actions]
    assert {a.done for a in planned.actions} == {False}
    assert {a.done for a in done.actions} == {True}
    [issue] = [a for a in planned.actions if a.verb == "issue"]
    for said in ("ECDSA P-256", "self-signed", "valid until", "example.org, localhost, *.localhost, 127.0.0.1, ::1"):
        assert said in issue.detail
    [reload] = [a for a in planned.actions if a.verb == "reload"]
    assert reload.detail == " ".join(server.reload_command)


# --- services ---


def test_services_are_told_and_serve_the_new_one(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    first = renewed_once(here)
    with (
        TlsServer(here.cert, here.key, tmp_path) as server,
        TlsServer(here.cert, here.key, tmp_path, smtp=True) as mail,
    ):
        here.settings |= {
            "services": [{"command": server.reload_command}, {"command": mail.reload_command}],
            "endpoints": [
                {"address": server.address, "certificate": "ssl/cert.pem", "server_name": "example.org"},
                {"address": mail.address, "certificate": "ssl/cert.pem", "protocol": "smtp"},
            ],
        }
        assert server.fingerprint() == first
        result = here.run("force")
        assert result.status == "RENEWED"
        assert server.fingerprint() == fingerprint_of(here.cert) != first
    for address in (server.address, mail.address):
        assert sample(result, "sutazai_certificate_served_matches", endpoint=address) == 1


def test_a_reload_that_fails_is_told_and_the_others_are_told_all_the_same(
    tmp_path: Path, runs: Callable[..., CertificateRuns]
) -> None:
    here = runs()
    renewed_once(here)
    with TlsServer(here.cert, here.key, tmp_path) as server:
        result = here.run(
            "force",
            services=[{"command": ["false"]}, {"container": "none-such"}, {"command": server.reload_command}],
            endpoints=[{"address": server.address, "certificate": "ssl/cert.pem"}],
        )
        assert server.fingerprint() == fingerprint_of(here.cert)
    assert kinds(result).count("reload_failed") == 2
    assert result.verdict == 2


def test_what_is_served_is_compared_with_what_is_on_disk(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    old = make(names=("other.org",), days_left=3, ca=make_ca()).write(tmp_path / "old")
    make(names=("example.org",)).write(tmp_path / "new")
    with TlsServer(tmp_path / "old/cert.pem", tmp_path / "old/key.pem", tmp_path) as server:
        endpoint = {"address": server.address, "certificate": "new/cert.pem", "server_name": "example.org"}
        result = runs(endpoints=[endpoint]).run("watch")
    assert sample(result, "sutazai_certificate_served_matches", endpoint=server.address) == 0
    assert sample(result, "sutazai_certificate_endpoint_up", endpoint=server.address) == 1
    end = sample(result, "sutazai_certificate_expiry_timestamp_seconds", certificate=server.address)
    assert end == int(old.certificate.not_valid_after_utc.timestamp())
    assert sample(result, "sutazai_certificate_problem", certificate=server.address, problem="wrong_name") == 1
    assert {"not_served", "wrong_name"} <= set(kinds(result))


def test_an_endpoint_that_was_not_seen_is_down_and_matches_nothing(runs: Callable[..., CertificateRuns]) -> None:
    address = f"127.0.0.1:{free_port()}"
    here = runs(endpoints=[{"address": address, "certificate": "ssl/cert.pem"}])
    result = here.run()
    assert sample(result, "sutazai_certificate_endpoint_up", endpoint=address) == 0
    assert sample(result, "sutazai_certificate_served_matches", endpoint=address) is None
    assert "endpoint_down" in kinds(result)
    assert sample(result, "sutazai_certificate_renewals_total", result="renewed") == 1, "it was down before"


# --- inventory ---


def test_each_thing_that_can_be_wrong_is_told(tmp_path: Path, runs: Callable[..., CertificateRuns]) -> None:
    ca = make_ca().write(tmp_path / "ca")
    make(names=("a.org",), ca=ca).write(tmp_path / "good")
    make(names=("b.org",)).write(tmp_path / "untrusted")
    make(names=("a.org",), days_left=-1).write(tmp_path / "old")
    make(names=("a.org",), age_days=-2).write(tmp_path / "early")
    make(names=("a.org",), rsa_bits=1024).write(tmp_path / "weak")
    make(names=("a.org",)).write(tmp_path / "other-key")
    (tmp_path / "other-key/key.pem").write_bytes(make().key_pem)
    make(names=("a.org",)).write(tmp_path / "open")
    (tmp_path / "open/key.pem").chmod(0o644)
    make(names=("a.org",)).write(tmp_path / "no-key")
    (tmp_path / "no-key/key.pem").unlink()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/cert.pem").write_bytes(make().cert_pem[:200])
    expected = {
        "good": set(), "untrusted": {"untrusted", "wrong_name"}, "old": {"expired"}, "early": {"not_yet_valid"},
        "weak": {"weak"}, "other-key": {"key_mismatch"}, "open": {"key_exposed"}, "no-key": {"key_unusable"},
        "cut": {"unreadable"}, "none": {"missing"},
    }  # fmt: skip
    trusted = {"good", "untrusted"}
    files = [
        {
            "path": f"{name}/cert.pem",
            "key": None if name in ("cut", "none") else f"{name}/key.pem",
            "names": ["a.org"],
            "ca_file": "ca/cert.pem" if name in trusted else None,
        }
        for name in expected
    ]
    result = runs(files=files).run("watch")
    for name, problems in expected.items():
        found = {
            s.labels["problem"]
            for s in result.samples
            if s.family == "sutazai_certificate_problem" and s.labels["certificate"] == f"{name}/cert.pem" and s.value
        }
        assert found == problems, name
    valid = {name: sample(result, "sutazai_certificate_valid", certificate=f"{name}/cert.pem") for name in expected}
    assert valid == {
        "good": 1, "untrusted": 0, "old": 0, "early": 0, "weak": 1, "other-key": 0, "open": 1, "no-key": 0,
        "cut": 0, "none": None,
    }  # fmt: skip


def test_a_file_that_may_not_be_read_is_unknown_and_no_good_news(
    tmp_path: Path, runs: Callable[..., CertificateRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_root("becoming another user")
    make(names=("example.org",)).write(tmp_path / "ssl")
    (tmp_path / "ssl/cert.pem").chmod(0o600)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to(tempfile.gettempdir()):
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o055)
    os.seteuid(65534)
    try:
        result = runs().run(dry_run=True)
    finally:
        os.seteuid(0)
    assert sample(result, "sutazai_certificate_valid", certificate="ssl/cert.pem") is None
    assert set(kinds(result)) == {"unknown"}
    assert (result.verdict, result.actions) == (2, ())


# --- housekeeping ---


def test_old_versions_go_and_those_in_use_stay(runs: Callable[..., CertificateRuns]) -> None:
    here = runs(keep_versions=2)
    for _ in range(4):
        assert here.run("force").status == "RENEWED"
    current, previous = here.cert.resolve().parent.name, here.state()["previous"]
    assert here.versions() == sorted({current, previous})
    assert len(here.backups()) == 2
    (here.ssl / "versions" / previous / "mine.txt").write_text("somebody's")
    planned = here.run("force", dry_run=True)
    assert [a for a in planned.actions if a.verb == "remove" and "version" in a.subject and previous in a.subject] == []
    assert is_pair(here.cert, here.key)


def test_what_a_killed_run_left_is_removed_after_a_while(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    renewed_once(here)
    left = here.ssl / "versions" / ".new.0123456789abcdef.tmp"
    left.mkdir()
    (left / "key.pem").write_text("half")
    assert left.name in {path.name for path in here.ssl.glob("versions/.*")}
    here.run()
    assert left.exists(), "it may be somebody's at work"
    os.utime(left, (1, 1))
    assert [a.verb for a in here.run().actions] == ["remove"]
    assert not left.exists()


# --- as a user runs it ---


def test_the_report_has_the_keys_of_the_script_it_replaces(
    tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    base = tmp_path / "base"
    config = {"jobs": {"certificate_renewal": {"key_type": "ecdsa"}}}
    done = run_cli(
        "run", "certificate-renewal", config=config, env={"SUTAZAI_DOMAIN": "example.org", "SUTAZAI_ORG": "A/B"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    link = base / "logs" / "latest_certificate_report.json"
    assert re.fullmatch(r"certificate_renewal_report_\d{8}_\d{6}\.json", link.resolve().name)
    report = json.loads(link.read_text())
    assert {"timestamp", "renewal_type", "force_renew", "certificate", "renewal_threshold_days", "next_check"} <= set(
        report
    )
    assert set(report["certificate"]) == {
        "domain",
        "subject",
        "expiry_date",
        "fingerprint",
        "validity_days",
        "key_size",
    }
    assert report["certificate"]["fingerprint"] == fingerprint_of(base / "ssl/cert.pem")
    assert report["certificate"]["validity_days"] == 365
    assert (report["force_renew"], report["renewal_threshold_days"]) == (False, 30)


def test_no_secret_gets_out(tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    base = tmp_path / "base"
    ca = make_ca()
    ca.write(base / "ca")
    (base / "ca/key.pem").write_bytes(ca.protected_key("canary-ca-4711"))
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\n(env; tr '\\0' ' ' </proc/$PPID/cmdline; echo \"$@\") >>{tmp_path}/seen\n")
    spy.chmod(0o755)
    config = {
        "jobs": {
            "certificate_renewal": {
                "ca_certificate": "ca/cert.pem",
                "ca_key": "ca/key.pem",
                "services": [{"command": [str(spy), "$(id)", ";x"]}],
            }
        }
    }
    env = {"SUTAZAI_JOBS__CERTIFICATE_RENEWAL__CA_KEY_PASSWORD": "canary-ca-4711"}
    done = run_cli("run", "certificate-renewal", "--json", config=config, env=env)
    assert done.returncode == 0, done.stdout
    seen = (tmp_path / "seen").read_text()
    assert "$(id) ;x" in seen, "arguments are passed as they are, past any shell"
    everything = [done.stdout, done.stderr, seen]
    key = (base / "ssl/key.pem").read_text().splitlines()[1]
    key_files = {path.resolve() for path in base.rglob("key.pem")}
    everything += [
        p.read_text(errors="replace") for p in base.rglob("*") if p.is_file() and p.resolve() not in key_files
    ]
    assert [text for text in everything if "canary-ca-4711" in text or key in text] == []


def test_a_target_is_refused(tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(JobError, match="takes no target"):
        JOB.run(Settings(), nothing, Request(task=JOB.name, target="x"))


def test_actions_are_logged_before_they_are_done(runs: Callable[..., CertificateRuns]) -> None:
    here = runs()
    result = here.run()
    logged = [line for line in here.heard.lines if line.startswith("info: ")]
    for verb, subject, _ in actions(result):
        assert any(line.startswith(f"info: {verb} {subject}") for line in logged)
