"""What is read from certificates and keys, and what is made of those that are none."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from jobs.clients.certificates import MAX_CHAIN, facts_of, parse_chain, parse_der, parse_key, read_certificate, read_key
from jobs.clients.errors import ClientError
from jobs.clients.trust import Chain, chain_of, is_authority, read_authorities
from tests.services.certificates import Made, make, make_ca, openssl

SAMPLE = make(("a.org",))


@pytest.fixture(scope="module")
def good() -> Made:
    return make(("a.org", "127.0.0.1"))


def test_a_certificate_tells_its_key(good: Made) -> None:
    facts = facts_of(good.certificate)
    assert (facts.key, facts.key_bits, facts.signature_hash) == ("ECDSA secp256r1", 256, "sha256")
    assert (facts.fingerprint, facts.weaknesses) == (good.fingerprint, ())


def test_small_keys_are_weak(tmp_path: Path) -> None:
    assert facts_of(make(rsa_bits=1024).certificate).weaknesses == ("its RSA key has 1024 bits",)
    assert facts_of(make(rsa_bits=2048).certificate).weaknesses == ()
    command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-sha1"]
    openssl(*command, "-keyout", tmp_path / "k", "-out", tmp_path / "c")
    assert read_certificate(tmp_path / "c").weaknesses == ("it is signed with sha1",)


def test_a_key_belongs_to_its_certificate_and_to_no_other(tmp_path: Path, good: Made) -> None:
    good.write(tmp_path)
    key = read_key(tmp_path / "key.pem")
    assert (key.key_digest, key.mode) == (facts_of(good.certificate).key_digest, 0o600)
    assert key.key_digest != facts_of(make().certificate).key_digest


def test_a_key_with_a_password_needs_it_and_no_message_has_it(good: Made) -> None:
    pem = good.protected_key("canary-password")
    assert parse_key(pem, "k", b"canary-password")
    for password in (None, b"canary-wrong"):
        with pytest.raises(ClientError) as failure:
            parse_key(pem, "k", password)
        assert "canary" not in str(failure.value)
    with pytest.raises(ClientError, match="has no password, though one is set"):
        parse_key(good.key_pem, "k", b"canary")


def test_a_chain_has_a_limit(good: Made) -> None:
    assert len(parse_chain(good.cert_pem * MAX_CHAIN, "c")) == MAX_CHAIN
    with pytest.raises(ClientError, match="more than 32 certificates"):
        parse_chain(good.cert_pem * (MAX_CHAIN + 1), "c")


@given(data=st.data())
def test_whatever_is_changed_in_a_certificate_it_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    pem = bytearray(SAMPLE.cert_pem)
    for _ in range(data.draw(st.integers(1, 4))):
        pem[data.draw(st.integers(30, len(pem) - 30))] = data.draw(st.sampled_from(b"ABCDabcd0189+/=\n-"))
    try:
        facts = facts_of(parse_chain(bytes(pem), "c")[0])
    except ClientError as error:
        assert "\n" not in str(error)
        return
    assert facts.subject.isprintable()
    assert facts.issuer.isprintable()
    assert all(name.isprintable() for name in facts.names)


def test_a_version_that_there_is_not_is_refused_in_one_line() -> None:
    der = SAMPLE.certificate.public_bytes(Encoding.DER).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    with pytest.raises(ClientError, match="c is not a certificate in PEM form"):
        parse_chain(pem, "c")
    with pytest.raises(ClientError, match="c sent no certificate"):
        parse_der(der, "c")


@given(st.binary(max_size=300))
def test_garbage_is_neither_a_certificate_nor_a_key(garbage: bytes) -> None:
    for parse in (parse_chain, parse_key):
        with pytest.raises(ClientError) as failure:
            parse(garbage, "it")  # type: ignore[operator]
        assert "\n" not in str(failure.value)


def test_control_characters_in_a_subject_do_not_come_through() -> None:
    facts = facts_of(make(common_name="a\x1b[2Jb\nc").certificate)
    assert facts.subject.isprintable()


def test_a_chain_leads_to_its_ca_or_to_itself_or_nowhere() -> None:
    now, root = datetime.now().astimezone(), make_ca()
    middle = make((), ca=root, is_ca=True, common_name="middle")
    leaf, other = make(ca=middle), make_ca()
    chain = [leaf.certificate, middle.certificate]
    assert chain_of(chain, [root.certificate], now) is Chain.TRUSTED
    assert chain_of(chain[:1], [root.certificate], now) is Chain.PRIVATE
    assert chain_of(chain, [other.certificate], now) is Chain.PRIVATE
    own = make()
    assert chain_of([own.certificate], [root.certificate], now) is Chain.SELF_SIGNED
    assert chain_of([own.certificate], [own.certificate], now) is Chain.TRUSTED


def test_a_server_is_no_ca_and_an_expired_ca_signs_for_nothing() -> None:
    now = datetime.now().astimezone()
    false_ca = make()
    forged = make(ca=false_ca)
    assert not is_authority(false_ca.certificate)
    assert chain_of([forged.certificate], [false_ca.certificate], now) is Chain.PRIVATE
    old = make_ca(days_left=-1)
    assert chain_of([make(ca=old).certificate], [old.certificate], now) is Chain.PRIVATE


def test_the_system_has_authorities_or_none() -> None:
    assert all(is_authority(one) for one in read_authorities(None)[:3])
