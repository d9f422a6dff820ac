"""Web configuration files, good and bad: we and promtool, which has the toolkit's own code, think the same of each.

Where we differ the row says why. Debian's promtool has an older toolkit than the one that we follow (0.20.0): of what
came later it knows nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from exporter.config import ConfigError
from exporter.web.web_config.loading import Files, WebConfig, read_web_config
from tests.services.binaries import need
from tests.services.web_pki import WebPki, hashed, tls, users, write_web_config

HASH = hashed("x", cost=10)


@dataclass(frozen=True)
class Row:
    """`says` is of our refusal, "" where we take the file; `differs` why promtool thinks otherwise, if it does."""

    name: str
    text: str
    says: str = ""
    differs: str = ""


def row(name: str, content: Any, says: str = "", differs: str = "") -> Row:
    return Row(name, content if isinstance(content, str) else yaml.safe_dump(content), says, differs)


def _headers(**headers: Any) -> dict[str, Any]:
    return {"http_server_config": {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}}


CIPHERS = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
]  # fmt: skip
CA = {"client_ca_file": "ca.pem"}
VERIFY = {"client_auth_type": "RequireAndVerifyClientCert", **CA}
LATER = "the toolkit of this promtool is older than the setting"
STRICTER = "it would start and then serve nobody, or everybody"

GOOD = [
    row("empty", ""),
    row("comments-alone", "# nothing\n"),
    row("sections-without-content", "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n"),
    row("pair", tls()),
    row("versions", tls(min_version="TLS12", max_version="TLS13")),
    row("old-versions", tls(min_version="TLS10", max_version="TLS11")),
    row("all-ciphers", tls(cipher_suites=CIPHERS)),
    row("ciphers-of-tls13-alone", tls(cipher_suites=["TLS_AES_128_GCM_SHA256"])),
    row("no-server-preference", tls(prefer_server_cipher_suites=False)),
    row("one-curve", tls(curve_preferences=["CurveP521"])),
    row("all-curves", tls(curve_preferences=["CurveP256", "CurveP384", "CurveP521", "X25519"])),
    *(row(kind, tls(client_auth_type=kind, **(CA if "Client" in kind and kind != "NoClientCert" else {})))
      for kind in ("NoClientCert", "RequestClientCert", "RequireAnyClientCert", "RequireClientCert",
                   "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")),
    row("verified-by-public-cas", tls(client_auth_type="RequireAndVerifyClientCert")),
    row("allowed-sans", tls(**VERIFY, client_allowed_sans=["alice.example"]), differs=LATER),
    row("no-http2", {**tls(), "http_server_config": {"http2": False}}),
    row("http2", {**tls(), "http_server_config": {"http2": True}}),
    row("headers", _headers(Content_Security_Policy="default-src 'self'", X_Frame_Options="sameorigin",
                            X_Content_Type_Options="nosniff", X_XSS_Protection=1,
                            Strict_Transport_Security="max-age=9")),
    row("users", {"basic_auth_users": {"alice": HASH, "b o b": HASH.replace("$2b", "$2a"),
                                       "é": HASH.replace("$2b", "$2y")}}),
    row("users-and-tls", {**tls(), **users("alice")}),
    row("tls-without-a-pair", {"tls_server_config": {"min_version": "TLS13"}}),
    row("empty-names-are-none", {"tls_server_config": {"cert_file": "", "key_file": ""}}),
    row("rate-limit", {"rate_limit": {"interval": "1.5s", "burst": 3}}, differs=LATER),
    row("no-rate-limit", {"rate_limit": {"interval": 0, "burst": 0}}, differs=LATER),
]  # fmt: skip
BAD = [
    row("junk", "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n", "must be a mapping"),
    row("a-list", "- a\n", "must be a mapping"),
    row("no-yaml", "tls_server_config: [\n", "line 2"),
    row("tab", "tls_server_config:\n\tcert_file: x\n", "line 2"),
    row("unknown-section", "tls_sever_config: {}\n", "unknown key; did you mean 'tls_server_config'?"),
    row("unknown-key", "tls_server_config:\n  cert_filse: x\n", "cert_filse: unknown key; did you mean 'cert_file'?"),
    row("excluded-paths", "auth_excluded_paths: [/x]\n", "auth_excluded_paths: unknown key"),
    row("key-twice", "basic_auth_users: {}\nbasic_auth_users: {}\n", "'basic_auth_users' is given twice"),
    row("section-is-text", "tls_server_config: x\n", "tls_server_config: the value is not a section"),
    row("http2-is-text", "http_server_config: {http2: maybe}\n", "http2: 'maybe' is not true or false"),
    row("cert-without-key", {"tls_server_config": {"cert_file": "server.pem"}}, "key or key_file is missing"),
    row("key-without-cert", {"tls_server_config": {"key_file": "server.key"}}, "cert or cert_file is missing"),
    row("client-auth-alone", {"tls_server_config": {"client_auth_type": "NoClientCert"}}, "cert_file is missing"),
    row("cert-is-not-there", tls(cert_file="none.pem"), "cert_file: {0}/none.pem cannot be read: No such file"),
    row("key-is-not-there", tls(key_file="none.key"), "key_file: {0}/none.key cannot be read: No such file"),
    row("cert-is-a-directory", tls(cert_file="."), "cannot be read: Is a directory"),
    row("mismatched-pair", tls(key_file="alice.key"), "the key does not belong to the certificate"),
    row("swapped", tls(cert_file="server.key", key_file="server.pem"), "cert_file: holds no certificate in PEM form"),
    row("cut-short", tls(cert_file="short.pem"), "certificate and key cannot be used: they are not in order"),
    row("key-with-passphrase", tls(key_file="locked.key"), "key_file: the key has a passphrase"),
    row("ca-is-not-there", tls(**VERIFY | {"client_ca_file": "none.pem"}), "{0}/none.pem cannot be read"),
    row("ca-without-policy", tls(**CA), "client_auth_type: is missing"),
    row("unknown-client-auth", tls(client_auth_type="Always"), "client_auth_type: 'Always' is not one of"),
    row("unknown-version", tls(min_version="TLS111"), "min_version: 'TLS111' is not one of"),
    row("version-is-a-number", tls(min_version=1.2), "min_version: 1.2 is not one of"),
    row("unknown-cipher", tls(cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048"]), "SHA2048' is not one of"),
    row("cipher-in-openssl-words", tls(cipher_suites=["ECDHE-RSA-AES128-GCM-SHA256"]), "is not one of"),
    row("insecure-cipher", tls(cipher_suites=["TLS_RSA_WITH_RC4_128_SHA"]), "is not one of"),
    row("unknown-curve", tls(curve_preferences=["CurveP257"]), "curve_preferences[0]: 'CurveP257' is not one of"),
    row("frame-options", _headers(X_Frame_Options="foo"), "X-Frame-Options: 'foo' is not one of deny, sameorigin"),
    row("content-type-options", _headers(X_Content_Type_Options="sniff"), "'sniff' is not one of nosniff"),
    row("other-header", _headers(Content_Type="foo"), "Content-Type: cannot be set here"),
    row("other-case", {"http_server_config": {"headers": {"x-frame-options": "deny"}}}, "cannot be set here"),
    row("password-in-clear", {"basic_auth_users": {"john": "hunter2"}}, "basic_auth_users.john: is no bcrypt hash"),
    row("hash-cut-short", {"basic_auth_users": {"john": HASH[:-1]}}, "is no bcrypt hash", STRICTER),
    row("hash-of-another-kind", {"basic_auth_users": {"john": "$6$" + HASH[3:]}}, "is no bcrypt hash"),
    row("cost-too-low", {"basic_auth_users": {"john": HASH.replace("$10$", "$03$")}}, "a cost of 3 is not usable"),
    row("cost-too-high", {"basic_auth_users": {"john": HASH.replace("$10$", "$32$")}}, "a cost of 32 is not usable"),
    row("rate-without-unit", "rate_limit: {interval: 5, burst: 1}\n", "rate_limit.interval: '5' is no duration"),
    row("negative-burst", "rate_limit: {interval: 1s, burst: -1}\n", "rate_limit.burst: -1 is below 0"),
    # What promtool takes and we do not.
    row("versions-crossed", tls(min_version="TLS13", max_version="TLS12"), "TLS13 is above max_version", STRICTER),
    row("ciphers-of-no-use", tls(cipher_suites=["TLS_AES_128_GCM_SHA256"], max_version="TLS12"),
        "none of them is for TLS12", STRICTER),
    row("insecure-by-now", tls(cipher_suites=["TLS_RSA_WITH_AES_128_GCM_SHA256"]), "is not one of",
        "Go counts it among the insecure ones since 1.22, which the toolkit does not take"),
    row("ca-of-nothing", tls(**VERIFY | {"client_ca_file": "/dev/null"}), "it is not a regular file", STRICTER),
    row("ca-without-pem", tls(**VERIFY | {"client_ca_file": "web.yml"}), "holds no certificate", STRICTER),
    row("any-certificate", tls(client_auth_type="RequireAnyClientCert"), "which keeps nobody out", STRICTER),
    row("sans-of-nobody", tls(**VERIFY, client_allowed_sans=[]), "an empty list lets nobody in"),
    row("sans-not-asked", tls(client_allowed_sans=["a"]), "may come without a certificate"),
    row("header-of-two-lines", _headers(Content_Security_Policy="a\nb"), "one line of printable ASCII", STRICTER),
    row("name-with-colon", {"basic_auth_users": {"a:b": HASH}}, "such a name cannot log in", STRICTER),
    row("hash-of-no-alphabet", {"basic_auth_users": {"john": HASH[:-1] + "!"}}, "is no bcrypt hash", STRICTER),
    row("cost-of-minutes", {"basic_auth_users": {"john": HASH.replace("$10$", "$19$")}}, "a cost of 19", STRICTER),
    row("no-burst", "rate_limit: {interval: 1s}\n", "0 would refuse every request"),
    row("alias", "x: &a {}\nhttp_server_config: *a\n", "aliases are not accepted"),
    row("yaml-1.1", "http_server_config: {http2: off}\n", "'off' is not true or false", "we read YAML 1.2"),
]  # fmt: skip
ROWS = GOOD + BAD


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WebPki:
    made = WebPki(tmp_path_factory.mktemp("pki"))
    (made.directory / "short.pem").write_bytes(made.server.cert_pem[:300])
    (made.directory / "locked.key").write_bytes(made.server.protected_key("secret"))
    (made.directory / "web.yml").write_text("")
    return made


@pytest.fixture(scope="module")
def promtool(pki: WebPki) -> dict[str, bool]:
    """What promtool thinks of every row."""
    files = {str(write_web_config(pki.directory / f"{row.name}.yml", row.text)): row.name for row in ROWS}
    command = [need("promtool", package="prometheus"), "check", "web-config", *files]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    verdicts = {}
    for line in (printed.stdout + printed.stderr).splitlines():
        if line.split(" ")[0] in files:
            verdicts[files[line.split(" ")[0]]] = line.endswith("SUCCESS")
    return verdicts


def read(pki: WebPki, text: Any) -> WebConfig:
    return read_web_config(write_web_config(pki.directory / "read.yml", text), Files())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # the versions that are no longer safe
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_we_think_of_a_file_what_promtool_thinks(pki: WebPki, promtool: dict[str, bool], row: Row) -> None:
    if row.says:
        with pytest.raises(ConfigError) as raised:
            read(pki, row.text)
        assert row.says.format(pki.directory) in raised.value.problems[0]
        for line in raised.value.problems:
            assert line.startswith(f"{pki.directory}/read.yml: ")
            assert "\n" not in line
            assert "hunter2" not in line
    else:
        read(pki, row.text)
    assert promtool[row.name] is (bool(row.says) if row.differs else not row.says)
