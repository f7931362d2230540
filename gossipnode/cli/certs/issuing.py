"""Makes keys and certificates, as PEM texts. It writes no file, and the moment is handed in.

Keys are of the curve P-256, which everything that speaks TLS knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEFORE = timedelta(hours=1)
"""How long before its making a certificate begins to be valid, for machines whose clocks are slow."""

COMMON_NAME_MAX = 64
"""Characters that the subject of a certificate may have as its common name (RFC 5280, ub-common-name)."""

SERVERS_AND_CLIENTS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
"""For nodes: they are called, and call each other."""

CLIENTS = (ExtendedKeyUsageOID.CLIENT_AUTH,)


class AuthorityError(Exception):
    """The CA cannot sign; the text says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new certificate with its key, both in PEM."""

    certificate: bytes
    key: bytes
    ends: datetime


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_authority(name: str, now: datetime, valid: timedelta) -> Made:
    """A CA of this name, which signs nodes and clients, and no other CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _unsigned(name, key, now, now + valid)
        .issuer_name(_subject(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return _signed(builder, key, key)


def load_authority(certificates: bytes, key: bytes) -> Authority:
    """The CA with this key, which is one of the certificates in the text.

    Raises:
        AuthorityError: a text is no PEM, the key is of another kind, or that of none of the certificates.
    """
    try:
        loaded = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        raise AuthorityError("the key is not the PEM text of a private key without a passphrase") from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise AuthorityError("the key is not one that `certs init` makes")
    try:
        known = x509.load_pem_x509_certificates(certificates)
    except ValueError:
        raise AuthorityError("the certificate is not in PEM") from None
    for certificate in known:
        if certificate.public_key() == loaded.public_key():
            return Authority(certificate, loaded)
    raise AuthorityError("the key is that of another CA")


def make_certificate(
    authority: Authority,
    hosts: Sequence[str],
    now: datetime,
    valid: timedelta,
    uses: Sequence[x509.ObjectIdentifier],
) -> Made:
    """A certificate for these names and addresses, of which the first is its subject. It ends with its CA.

    Raises:
        AuthorityError: the CA has expired.
    """
    ends = min(now + valid, authority.certificate.not_valid_after_utc)
    if ends <= now:
        raise AuthorityError(f"it expired on {ends:%Y-%m-%d}: make a new CA in another --dir")
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _unsigned(hosts[0], key, now, ends)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False
        )
    )
    return _signed(builder, key, authority.key)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:COMMON_NAME_MAX])])


def _unsigned(
    name: str, key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> Made:
    certificate = builder.sign(signer, hashes.SHA256())
    return Made(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.not_valid_after_utc,
    )
