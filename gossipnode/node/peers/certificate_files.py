"""The files of `[tls]`, read as a whole: TLS contexts for connections, and what the certificates say.

Must never make contexts of files that do not belong together.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossipnode.config.settings import TlsSettings
from gossipnode.core.access.certificate_rules import CertificateFacts, NodeCertificates
from gossipnode.rpc.tls import HTTP1, NO_CHECK_TIME, client_ssl_context, server_ssl_context

_FLIGHTS_MAX = 4
"""Turns of both sides after which any handshake is over."""

_DO_NOT_FIT = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class CertificateError(Exception):
    """A certificate, key or CA file cannot be used; the text names it and says what is wrong."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What was made of the files. A change of the files means a new one of these."""

    server: ssl.SSLContext
    web: ssl.SSLContext
    """For the status port: the same certificate and CA, and HTTP/1.1."""
    client: ssl.SSLContext
    client_of_any_name: ssl.SSLContext
    """Takes any certificate of the cluster's CA, whatever name it holds."""
    facts: NodeCertificates
    authorities: int
    """How many certificates the CA file holds."""


def read_certificate_files(tls: TlsSettings) -> CertificateFiles:
    """Read the files.

    Raises:
        CertificateError: a file cannot be used, certificate and key do not fit, or a file was being replaced.
    """
    before = _contents(tls)
    if b"ENCRYPTED" in before[-1]:
        raise CertificateError(f"[tls] key: {tls.key} is encrypted: give one without a passphrase")
    _judge_authorities(tls)
    _judge_pair(tls)
    try:
        server = server_ssl_context(tls.ca, tls.cert, tls.key, require_client=tls.require_client)
        web = server_ssl_context(
            tls.ca, tls.cert, tls.key, require_client=tls.require_client, protocols=HTTP1
        )
        client, of_any_name = (client_ssl_context(tls.ca, tls.cert, tls.key) for _ in range(2))
        of_any_name.check_hostname = False
        facts = _facts(tls, server)
    except (OSError, ValueError) as error:
        files = f"{tls.ca}, {tls.cert} or {tls.key}"
        raise CertificateError(f"[tls]: {files} cannot be used: {error}") from None
    if _contents(tls) != before:
        raise CertificateError(
            f"[tls]: {tls.ca}, {tls.cert} or {tls.key} changed while they were read: try again"
        )
    return CertificateFiles(server, web, client, of_any_name, facts, server.cert_store_stats()["x509"])


def _contents(tls: TlsSettings) -> list[bytes]:
    contents: list[bytes] = []
    for key, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            raise CertificateError(f"[tls] {key}: {path} cannot be read: {error.strerror}") from None
    return contents


def _judge_authorities(tls: TlsSettings) -> None:
    if not _holds_certificates(tls.ca):
        raise CertificateError(f"[tls] ca: {tls.ca} cannot be used: it is not the PEM file of a certificate")


def _judge_pair(tls: TlsSettings) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError) and error.reason in _DO_NOT_FIT:
            raise CertificateError(
                f"[tls]: {tls.cert} and {tls.key} do not fit: the key is that of another certificate"
            ) from None
        if not _holds_certificates(tls.cert):
            problem = f"cert: {tls.cert} cannot be used: it is not the PEM file of a certificate"
        elif isinstance(error, ssl.SSLError) and "KEY_TOO" in str(error.reason):
            problem = f"cert: {tls.cert} cannot be used: {error.reason.lower().replace('_', ' ')}"
        else:
            problem = f"key: {tls.key} cannot be used: it is not the PEM file of a private key"
        raise CertificateError(f"[tls] {problem}") from None


def _holds_certificates(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        return False
    return True


def _facts(tls: TlsSettings, context: ssl.SSLContext) -> NodeCertificates:
    authorities = tuple(_certificate(tls.ca, told) for told in context.get_ca_certs())
    try:
        own = _certificate(tls.cert, _shown_to_itself(tls, tls.ca))
        return NodeCertificates(own.file, own, authorities)
    except ssl.SSLError as error:
        refusal = _reason(error)
    with suppress(ssl.SSLError):
        own = _certificate(tls.cert, _shown_to_itself(tls, tls.cert))
        return NodeCertificates(own.file, own, authorities, refusal)
    return NodeCertificates(str(tls.cert), None, authorities, refusal)


def _reason(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)


def _shown_to_itself(tls: TlsSettings, trusted: Path) -> dict[str, Any]:
    """What a peer that trusts this file reads in the node's certificate, when both sides show it.

    Python tells what a certificate says only to the other side of a handshake, so one is made in memory.

    Raises:
        ssl.SSLError: the peer refuses it.
    """

    def context(protocol: int) -> ssl.SSLContext:
        made = ssl.SSLContext(protocol)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_cert_chain(tls.cert, tls.key)
        made.load_verify_locations(trusted)
        made.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        if trusted == tls.cert:
            made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        return made

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(to_server, to_client, server_side=True)
    client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(to_client, to_server)
    for _ in range(_FLIGHTS_MAX):
        _go_on((client, server))
    told = client.getpeercert()
    assert told is not None, "a server shows a certificate, and the handshake is over"
    return told


def _go_on(sides: Iterable[ssl.SSLObject]) -> None:
    for side in sides:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def _certificate(file: Path, told: Mapping[str, Any]) -> CertificateFacts:
    subject = dict(attribute for attributes in told.get("subject", ()) for attribute in attributes)
    return CertificateFacts(
        file=str(file),
        subject=subject.get("commonName") or ", ".join(subject.values()) or "without a name",
        names=tuple(str(name) for kind, name in told.get("subjectAltName", ()) if kind == "DNS"),
        begins=ssl.cert_time_to_seconds(told["notBefore"]),
        ends=ssl.cert_time_to_seconds(told["notAfter"]),
    )
