"""What certificate renewal can be told, and what it refuses to be told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.certificate_renewal import JOB, Settings


def settings(**values: Any) -> Settings:
    return Settings.model_validate_json(json.dumps(values), strict=True)


def test_nothing_need_be_set() -> None:
    assert (settings().key_type, settings().key_size, settings().cert_validity_days) == ("rsa", 2048, 365)
    assert settings().reload_timeout_seconds == 10
    assert [cadence.mode for cadence in JOB.cadences] == ["watch", "standard"]
    assert JOB.modes[0] == "standard"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"endpoints": [{"address": "host"}]}, "is no address"),
        ({"endpoints": [{"address": "host:0"}]}, "is no address"),
        ({"endpoints": [{"address": "a b:1"}]}, "is no address"),
        ({"endpoints": [{"address": "http://host:443"}]}, "is no address"),
        ({"endpoints": [{"address": "a:1"}, {"address": "a:1"}]}, "a:1 stands here twice"),
        ({"endpoints": [{"address": "a:1", "protocol": "ldap"}]}, "'tls', 'postgres' or 'smtp'"),
        ({"endpoints": [{"address": "a:1", "server_name": "a\nb"}]}, "neither a DNS name nor"),
        ({"files": [{"path": "a.pem"}, {"path": "a.pem"}]}, "a.pem stands here twice"),
        ({"files": [{"path": "a.pem", "renewal_command": []}]}, "at least 1 item"),
        ({"files": [{"path": "a.pem", "renewal_command": "certbot renew"}]}, "valid array"),
        ({"files": [{"path": "a.pem", "renewal_command": [" "]}]}, "a command is a list"),
        ({"files": [{"path": "a.pem", "renewal_command": ["a\0b"]}]}, "a command is a list"),
        ({"services": [{}]}, "either a container or a command"),
        ({"services": [{"container": "a", "command": ["b"]}]}, "either a container or a command"),
        ({"services": [{"container": "--help"}]}, "a name starts with"),
        ({"services": [{"container": "a;id"}]}, "a name starts with"),
        ({"services": [{"container": "a", "signal": "9"}]}, "should match pattern"),
        ({"services": [{"container": "a", "action": "remove"}]}, "'signal' or 'restart'"),
        ({"extra_names": ["a b"]}, "neither a DNS name nor"),
        ({"extra_names": ["a..b"]}, "neither a DNS name nor"),
        ({"extra_names": ["DNS:a"]}, "neither a DNS name nor"),
        ({"key_size": 1024}, "greater than or equal to 2048"),
        ({"ca_certificate": "ca.pem"}, "both or not at all"),
        ({"keep_versions": 1}, "greater than or equal to 2"),
    ],
)
def test_a_wrong_setting_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        settings(**values)
    assert told in str(refusal.value)


def test_addresses_of_both_families() -> None:
    endpoints = [{"address": "[::1]:5432", "protocol": "postgres"}, {"address": "mail.example.org:25"}]
    one, other = settings(endpoints=endpoints).endpoints
    assert (one.host, one.port) == ("::1", 5432)
    assert (other.host, other.port) == ("mail.example.org", 25)


def test_a_password_is_in_no_representation() -> None:
    found = settings(ca_certificate="c", ca_key="k", ca_key_password="canary-4711")
    assert "canary" not in repr(found)
    assert "canary" not in found.model_dump_json()
