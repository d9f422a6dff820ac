"""Settings of the channels that cannot work, or would not be safe, are refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.config import ConfigError, load

BASE = {"host": "mail.example.org", "recipients": ["ops@example.org"]}


def problems(section: dict[str, Any], *path: str, **others: Any) -> list[str]:
    """What is wrong with a section of the settings."""
    flags = {(*path, name): value for name, value in section.items()} | {(name,): v for name, v in others.items()}
    try:
        load(environment={"SUTAZAI_BASE_DIR": "/nonexistent"}, flags=flags)
    except ConfigError as error:
        return error.problems
    return []


def mail(**changed: Any) -> list[str]:
    return problems({**BASE, **changed}, "notifications", "mail")


def test_good_mail_settings_are_taken() -> None:
    assert mail() == []
    assert mail(username="robot", password="pass word") == []
    assert mail(username="robot", password="x", security="tls", port=465) == []
    assert mail(sender="robot@example.org", recipients=["a+b@example.org", "müller@example.org"]) == []


def test_mail_to_nobody_is_refused_unless_somebody_is_in_charge() -> None:
    (line,) = mail(recipients=[])
    assert line.endswith("set notifications.mail.recipients or admin_email")
    assert problems({"host": "mx"}, "notifications", "mail", admin_email="chief@example.org") == []


def test_a_password_and_a_user_name_need_each_other() -> None:
    assert mail(password="x") == ["notifications.mail: password is set without username; set both, or neither"]
    assert mail(username="x") == ["notifications.mail: username is set without password; set both, or neither"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_password_goes_unencrypted_to_this_host_alone(host: str) -> None:
    log_in = {"username": "robot", "password": "x", "security": "none"}
    assert mail(host=host, **log_in) == []
    assert mail(**log_in) == [
        "notifications.mail: security none would send the password in plain text; set it to starttls or tls"
    ]


@pytest.mark.parametrize(
    "address",
    ["a@b, c@d", "a@b;c@d", "<a@b>", "a b@c", "a@b\n", "a\r\nBcc: c@d", "group:a@b", '"a"@b', "a\x07@b", "a", "@b", ""],
)
def test_what_is_not_one_address_is_refused(address: str) -> None:
    for refused in (
        mail(recipients=[address]),
        mail(sender=address),
        problems({"host": "mx"}, "notifications", "mail", admin_email=address),
    ):
        assert any("is not one mail address; write it as somebody@example.org" in line for line in refused)


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"password": "canäry-secret", "username": "robot", **BASE}, ("notifications", "mail")),
        ({"hmac_secret": "canäry-secret"}, ("notifications", "webhook")),
        ({"token": "canäry secret"}, ("notifications", "webhook")),
        ({"token": "canäry\r\nX-Evil: secret"}, ("alertmanager",)),
    ],
)
def test_a_secret_that_cannot_be_sent_is_refused_and_not_shown(section: dict[str, Any], path: tuple[str, ...]) -> None:
    (line,) = problems(section, *path)
    assert line.startswith(".".join(path))
    assert "can" + "äry" not in line
