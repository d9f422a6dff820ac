"""Secrets are taken out of text and documents, in every form that they come in."""

from __future__ import annotations

import html
import io
import json
import logging
import sys

import markupsafe
import pytest

from exporter.logs import set_up
from exporter.redaction import Redactor, keys_in, passwords_in, secrets_of_url, shown_url


@pytest.mark.parametrize(
    ("secrets", "text", "clean"),
    [
        (["s3cret"], "the password is s3cret!", "the password is ***!"),
        (["s3cret"], "s3crets3cret", "******"),
        (["a b/c"], "as it is: a b/c, in a URL: a%20b%2Fc", "as it is: ***, in a URL: ***"),
        (["pass", "password-long"], "password-long", "***"),
        (["a+b(c"], "a+b(c", "***"),
        (["two\nlines"], "two\nlines", "***"),
        (["abc"], "abc is too short to be a secret", "abc is too short to be a secret"),
        ([], "postgresql://user:hunter2@host/db", "postgresql://user:***@host/db"),
        ([], "redis://:p/w:x@127.0.0.1:6379/0 and http://u:p@h", "redis://:***@127.0.0.1:6379/0 and http://u:***@h"),
        ([], "http://host:8080/no-password@x", "http://host:***@x"),  # a password may have a slash: on the safe side
        ([], "no secret at all", "no secret at all"),
    ],
)
def test_text(secrets: list[str], text: str, clean: str) -> None:
    assert Redactor(secrets).text(text) == clean


def test_documents_are_cleaned_in_keys_and_values_at_any_depth() -> None:
    redactor = Redactor(["s3cret"])
    document = {"s3cret": [{"a": "x s3cret y"}, 5, None, True, 1.5, ["s3cret"]]}
    assert redactor.document(document) == {"***": [{"a": "x *** y"}, 5, None, True, 1.5, ["***"]]}


@pytest.mark.parametrize(
    ("text", "passwords"),
    [
        ("postgresql://u:p%40ss@h:5432/db?sslmode=require", ["p%40ss", "p@ss"]),
        ("redis://:secret@h", ["secret"]),
        ("redis://h:6379/0", []),
        ("host=h password=secret user=u", ["secret"]),
        ("host=h password = 'two words' user=u", ["two words"]),
        (r"password='it\'s \\ here'", [r"it's \ here"]),
        ("host=h user=u", []),
        ("unix:///run/redis.sock?password=secret&db=1", ["secret"]),
        ("plain", []),
    ],
)
def test_passwords_within_connection_strings_are_found(text: str, passwords: list[str]) -> None:
    assert passwords_in(text) == passwords


@pytest.mark.parametrize(
    ("url", "shown", "keys"),
    [
        ("https://hooks.example.org", "https://hooks.example.org", []),
        ("https://hooks.example.org/", "https://hooks.example.org", []),
        ("http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/…", []),
        ("https://h.example.org/sutazai-exporter", "https://h.example.org/…", []),
        ("https://h/services/T01/B01/k7QabcdEFGH01234", "https://h/…", ["k7QabcdEFGH01234"]),
        ("https://h/6f0f6d2e-55d0-4b8e-9c1c-3a1b0c9d8e7f", "https://h/…", ["6f0f6d2e-55d0-4b8e-9c1c-3a1b0c9d8e7f"]),
        ("HTTPS://h?room=1&sig=k7Q%2FbcdEFGH01234", "HTTPS://h/…", ["k7Q%2FbcdEFGH01234", "k7Q/bcdEFGH01234"]),
        ("https://h/#k7QabcdEFGH01234", "https://h/…", ["k7QabcdEFGH01234"]),
    ],
)
def test_of_a_url_that_is_a_secret_the_server_is_shown_and_its_keys_are_known(
    url: str, shown: str, keys: list[str]
) -> None:
    assert shown_url(url) == shown
    assert set(keys) <= set(keys_in(url))
    assert bool(keys) == bool(keys_in(url))
    told = Redactor(secrets_of_url(url)).text(f"posting to {url} failed")
    assert (url in told) == (shown == url.rstrip("/"))
    assert not keys or url.partition("://")[0] in told
    assert not any(key in told for key in keys)


def test_ordinary_words_of_a_url_blank_no_other_text() -> None:
    redactor = Redactor(secrets_of_url("https://hooks.example.org/var/alerts"))
    assert redactor.text("/var/log and /var/alerts/x") == "/var/log and /var/alerts/x"
    assert redactor.text("POST https://hooks.example.org/var/alerts: 404") == "POST ***: 404"


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_no_secret_and_no_second_line_gets_into_the_log(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up("info", style, Redactor(["s3cret"]))
        log = logging.getLogger("test")
        log.debug("not shown")
        log.info('a "quoted" s3cret\nlevel=error', extra={"field": "x s3cret\ny", "url": "http://u:hunter2@h"})
        try:
            raise ValueError("s3cret")
        except ValueError:
            log.exception("it failed")
    finally:
        root.handlers[:], root.level = handlers, level
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "s3cret" not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert "ValueError: ***" in lines[1]
    if style == "json":
        first = json.loads(lines[0])
        assert (first["msg"], first["field"], first["level"]) == ('a "quoted" ***\nlevel=error', "x ***\ny", "info")
    else:
        assert r'msg="a \"quoted\" ***\nlevel=error" field="x ***\ny"' in lines[0]


@pytest.mark.parametrize("secret", ["a&b<c>d", 'it\'s "quoted"', "back\\slash"])
def test_a_secret_is_found_as_pages_and_json_texts_write_it(secret: str) -> None:
    redactor = Redactor([secret])
    for form in (str(markupsafe.escape(secret)), html.escape(secret), json.dumps(secret)[1:-1]):
        assert redactor.text(f"<td>{form}</td>") == "<td>***</td>"
