"""`certs`: the certificates that are made, and that nothing is half written."""

from __future__ import annotations

import errno
import json
import os
import ssl
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gossipnode.cli.certs.issuing import (
    CLIENTS,
    AuthorityError,
    load_authority,
    make_authority,
    make_certificate,
)
from tests.cli.conftest import Cli, refused

Certificate = x509.Certificate


@pytest.fixture
def made(cli: Cli, tmp_path: Path) -> Path:
    """A directory with a CA."""
    directory = tmp_path / "certs"
    assert cli("certs", "init", "--dir", str(directory)).code == 0
    return directory


def read(path: Path) -> Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def left(certificate: Certificate) -> timedelta:
    """How long it is valid from now on, in whole days."""
    return timedelta(days=round((certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)))


def uses(certificate: Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def alternative(certificate: Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_init_makes_a_ca_and_says_what_is_next(cli: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ended = cli("certs", "init", "--dir", str(directory))
    assert (ended.code, ended.err) == (0, "")
    first, second, third = ended.out.splitlines()
    assert first.startswith(f"made {directory / 'ca.pem'}, the CA, valid until ")
    assert second.startswith(f"made {directory / 'ca.key'}, its key: everybody who has it")
    assert third == f"next: gossipnode certs node NAME HOST... --dir {directory}"
    authority = read(directory / "ca.pem")
    assert left(authority) == timedelta(days=3650)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(True, 0))
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (
        True, True, False,
    )  # fmt: skip
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "ca.pem": 0o644,
        "ca.key": 0o600,
    }


def test_init_keeps_the_ca_that_is_there(cli: Cli, made: Path) -> None:
    kept = (made / "ca.key").read_bytes()
    ended = cli("certs", "init", "--dir", str(made))
    assert ended.code == 1
    assert ended.problem == (
        f"{made / 'ca.pem'} is there already: give another --dir, or use the CA that is there"
    )
    (made / "ca.pem").unlink()
    assert cli("certs", "init", "--dir", str(made)).code == 1
    assert (made / "ca.key").read_bytes() == kept


def test_a_nodes_certificate(cli: Cli, made: Path) -> None:
    ended = cli("certs", "node", "a", "a.example", "10.0.0.1", "[::1]", "localhost", "--dir", str(made))
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"made {made / 'a.pem'}, valid until ")
    assert lines[0].endswith(" for a, a.example, 10.0.0.1, ::1, localhost")
    assert lines[2:] == [
        "put into the file of node a:",
        "",
        "[tls]",
        f'ca = "{made / "ca.pem"}"',
        f'cert = "{made / "a.pem"}"',
        f'key = "{made / "a.key"}"',
    ]
    certificate = read(made / "a.pem")
    assert alternative(certificate).get_values_for_type(x509.DNSName) == ["a", "a.example", "localhost"]
    addresses = [ip_address("10.0.0.1"), ip_address("::1")]
    assert alternative(certificate).get_values_for_type(x509.IPAddress) == addresses
    assert uses(certificate) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert left(certificate) == timedelta(days=825)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    issuer = read(made / "ca.pem").extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == issuer.digest
    assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert (made / "a.key").stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made / "a.pem", made / "a.key")


@pytest.mark.parametrize(("role", "key"), [("reader", "readers"), ("writer", "writers"), ("admin", "admins")])
def test_a_clients_certificate(role: str, key: str, cli: Cli, made: Path) -> None:
    arguments = ("certs", "client", "app", "--role", role, "--days", "30", "--dir", str(made))
    lines = cli(*arguments).out.splitlines()
    assert lines[0].endswith(", for app")
    assert lines[-1] == f'{key} = ["app"]'
    certificate = read(made / "app.pem")
    assert uses(certificate) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert left(certificate) == timedelta(days=30)
    told = json.loads(cli(*arguments, "--renew", "-o", "json").out)
    assert (told["role"], told["tls"], told["names"]) == (role, f'{key} = ["app"]', ["app"])


def test_a_certificate_that_is_there_is_replaced_only_when_asked_for(cli: Cli, made: Path) -> None:
    arguments = ("certs", "node", "a", "--dir", str(made))
    assert cli(*arguments).code == 0
    before = read(made / "a.pem").serial_number
    ended = cli(*arguments)
    assert (ended.code, ended.problem) == (1, f"{made / 'a.pem'} is there already: --renew takes its place")
    assert read(made / "a.pem").serial_number == before
    assert cli(*arguments, "--renew").code == 0
    assert read(made / "a.pem").serial_number != before


def test_a_certificate_ends_with_its_ca(cli: Cli, tmp_path: Path) -> None:
    assert cli("certs", "init", "--dir", str(tmp_path), "--days", "10", "-o", "json").code == 0
    assert cli("certs", "node", "a", "--dir", str(tmp_path)).code == 0
    assert left(read(tmp_path / "a.pem")) == timedelta(days=10)


def test_the_ca_that_has_the_key_signs_where_there_are_several(cli: Cli, made: Path, tmp_path: Path) -> None:
    assert cli("certs", "init", "--dir", str(tmp_path / "other")).code == 0
    other = (tmp_path / "other" / "ca.pem").read_bytes()
    (made / "ca.pem").write_bytes(other + (made / "ca.pem").read_bytes())
    assert cli("certs", "node", "a", "--dir", str(made)).code == 0
    authorities = x509.load_pem_x509_certificates((made / "ca.pem").read_bytes())
    assert read(made / "a.pem").issuer == authorities[1].subject != authorities[0].subject


def test_an_expired_ca_does_not_sign() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = make_authority("old", now, timedelta(days=10))
    authority = load_authority(made.certificate, made.key)
    with pytest.raises(AuthorityError, match="it expired on 2026-01-11: make a new CA in another --dir"):
        make_certificate(authority, ["a"], now + timedelta(days=11), timedelta(days=1), CLIENTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["node", "a b"], ["NAME", "'a b' is no name for a certificate"]),
        (["node", ""], ["NAME", "expected text"]),
        (["node", "../a"], ["NAME", "no name for a certificate"]),
        (["node", "CA"], ["NAME", "the CA's own files"]),
        (["node", "a", "b:7400"], ["HOST", "'b:7400' is no name for a certificate"]),
        (["node", "a", "--days", "0"], ["--days"]),
        (["client", "app"], ["--role"]),
        (["client", "app", "--role", "owner"], ["--role", "admin"]),
    ],
)
def test_wrong_use(arguments: list[str], words: list[str], cli: Cli, made: Path) -> None:
    refused(cli, ["certs", *arguments, "--dir", str(made)], words)
    assert sorted(path.name for path in made.iterdir()) == ["ca.key", "ca.pem"]


def test_without_a_ca(cli: Cli, tmp_path: Path) -> None:
    refused(cli, ["certs", "node", "a", "--dir", str(tmp_path)], ["ca.pem: no such file", "certs init --dir"])


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("ca.key", b"no key", "the key is not the PEM text of a private key"),
        ("ca.pem", b"no certificate", "the certificate is not in PEM"),
    ],
)
def test_a_ca_that_cannot_be_used(file: str, content: bytes, problem: str, cli: Cli, made: Path) -> None:
    (made / file).write_bytes(content)
    ended = cli("certs", "node", "a", "--dir", str(made))
    assert (ended.code, ended.out) == (1, "")
    assert problem in ended.problem


def test_a_key_of_another_ca_does_not_sign(cli: Cli, made: Path, tmp_path: Path) -> None:
    assert cli("certs", "init", "--dir", str(tmp_path / "other")).code == 0
    (tmp_path / "other" / "ca.key").replace(made / "ca.key")
    assert "the key is that of another CA" in cli("certs", "node", "a", "--dir", str(made)).problem


def test_nothing_is_half_written(cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = iter([None])

    def fsync(_file: int) -> None:
        if next(synced, errno.ENOSPC):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    ended = cli("certs", "node", "a", "--dir", str(made))
    assert ended.code == 1
    assert ended.problem.endswith("a.key cannot be written: No space left on device")
    assert sorted(path.name for path in made.iterdir()) == ["ca.key", "ca.pem"]


def test_a_directory_that_cannot_be_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = cli("certs", "init", "--dir", str(tmp_path / "file" / "certs"))
    assert ended.code == 1
    assert "cannot be written: Not a directory" in ended.problem


def test_without_cryptography(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    ended = cli("certs", "init", "--dir", str(tmp_path))
    assert ended.code == 2
    problem = "`certs` needs the package cryptography: pip install 'gossipnode[certs]'"
    assert ended.problem == problem
