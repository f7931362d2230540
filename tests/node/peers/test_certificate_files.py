"""The files of [tls]: what is read in them, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from gossipnode.config.settings import TlsSettings
from gossipnode.node.peers import certificate_files
from gossipnode.node.peers.certificate_files import CertificateError, read_certificate_files
from tests.node.peers.issuing import Issuer, settings

BEGINS, ENDS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    """Those of a node whose certificate has expired: dates are told of, and refused by peers alone."""
    return tls(Issuer(tmp_path).issue("a", "localhost", begins=BEGINS, ends=ENDS))


def tls(issued: dict[str, object]) -> TlsSettings:
    made = settings(**issued).tls
    assert made is not None
    return made


def test_names_and_dates_are_read(files: TlsSettings) -> None:
    own = read_certificate_files(files).facts.own
    assert own is not None
    assert (own.file, own.names) == (str(files.cert), ("a", "localhost"))
    assert (own.begins, own.ends) == (BEGINS.timestamp(), ENDS.timestamp())


def test_every_authority_of_the_file_is_read(files: TlsSettings) -> None:
    other = trustme.CA(organization_name="next", organization_unit_name="CA")
    files.ca.write_bytes(files.ca.read_bytes() + other.cert_pem.bytes())
    read = read_certificate_files(files)
    assert read.authorities == 2
    assert {authority.file for authority in read.facts.authorities} == {str(files.ca)}
    assert "next, CA" in [authority.subject for authority in read.facts.authorities]
    assert read.facts.refusal == ""


def test_a_certificate_of_another_authority_is_told_of(files: TlsSettings) -> None:
    trustme.CA().cert_pem.write_to_path(str(files.ca))
    facts = read_certificate_files(files).facts
    assert facts.refusal == "unable to get local issuer certificate"
    assert facts.own is not None
    assert facts.own.names == ("a", "localhost")


def remove_key(files: TlsSettings) -> str:
    files.key.unlink()
    return f"[tls] key: {files.key} cannot be read: No such file or directory"


def encrypt_key(files: TlsSettings) -> str:
    files.key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    return f"[tls] key: {files.key} is encrypted: give one without a passphrase"


def spoil(name: str, kind: str) -> Callable[[TlsSettings], str]:
    def spoiled(files: TlsSettings) -> str:
        path = getattr(files, name)
        path.write_text("no PEM at all")
        return f"[tls] {name}: {path} cannot be used: it is not the PEM file of a {kind}"

    return spoiled


def swap_key(files: TlsSettings) -> str:
    trustme.CA().issue_cert("a").private_key_pem.write_to_path(str(files.key))
    return f"[tls]: {files.cert} and {files.key} do not fit: the key is that of another certificate"


@pytest.mark.parametrize(
    "harm",
    [
        remove_key,
        encrypt_key,
        spoil("ca", "certificate"),
        spoil("cert", "certificate"),
        spoil("key", "private key"),
        swap_key,
    ],
)
def test_a_file_that_cannot_be_used_is_named(harm: Callable[[TlsSettings], str], files: TlsSettings) -> None:
    problem = harm(files)
    with pytest.raises(CertificateError) as caught:
        read_certificate_files(files)
    assert str(caught.value) == problem


def test_files_that_are_replaced_meanwhile_are_not_used(
    files: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate_files.server_ssl_context

    def replaced(*arguments: Path, **options: Any) -> object:
        context = made(*arguments, **options)
        Issuer(files.ca.parent).issue("a")
        return context

    monkeypatch.setattr(certificate_files, "server_ssl_context", replaced)
    with pytest.raises(CertificateError):
        read_certificate_files(files)
    monkeypatch.undo()
    read_certificate_files(files)
