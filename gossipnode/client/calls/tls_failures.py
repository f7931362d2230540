"""Failures of TLS in words: what is the matter, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gossipnode.client.errors import ClientError, RefusedError, TlsError
from gossipnode.client.transport import handshake_trouble
from gossipnode.config.address import Address
from gossipnode.rpc.status import SPEAKS_TLS

_CERTIFICATE_ALERT = re.compile(
    r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)"
)
"""TLS alerts, in the words of OpenSSL, that refuse a client's certificate, or a client without one."""


@dataclass(frozen=True, slots=True)
class TlsTodo:
    """What a user can do, in the words of what was used."""

    give_tls: str
    leave_tls_out: str
    give_certificate: str
    give_server_name: str
    give_other_authority: str


OF_COMMANDS = TlsTodo(
    give_tls="give --ca (and --cert, --key)",
    leave_tls_out="leave --ca out",
    give_certificate="give --cert and --key",
    give_server_name="--server-name says which name to expect",
    give_other_authority="give the CA of its cluster as --ca",
)

OF_LIBRARY = TlsTodo(
    give_tls="give tls=TlsFiles(ca, cert, key)",
    leave_tls_out="leave tls out",
    give_certificate="give cert and key in TlsFiles",
    give_server_name="server_name= says which name to expect",
    give_other_authority="give the CA of its cluster in TlsFiles",
)

_ITS_CERTIFICATE = "give the node a new one and send it SIGHUP"


def refuses_certificate(said: str) -> bool:
    """Whether a failure with this message is a node's refusal of our certificate."""
    return _CERTIFICATE_ALERT.search(said) is not None


def tls_failure(said: str, address: Address, todo: TlsTodo) -> ClientError | None:
    """The error for a call to the node at `address` that failed with this message, if that is one of TLS."""
    alert = _CERTIFICATE_ALERT.search(said)
    if alert is not None:
        return RefusedError(f"{address} refuses our certificate ({_problem(alert)}): {_remedy(alert, todo)}")
    if said.endswith(SPEAKS_TLS):
        return TlsError(f"{address} speaks TLS: {todo.give_tls}")
    reason = said.partition("cannot be reached: ")[2]
    if reason == handshake_trouble.NO_TLS:
        return TlsError(f"{address} does not speak TLS: {todo.leave_tls_out}")
    remedies = {
        handshake_trouble.OTHER_NAMES: todo.give_server_name,
        handshake_trouble.WRONG_DATE: _ITS_CERTIFICATE,
        handshake_trouble.TOO_EARLY: "check the clocks of both machines",
        handshake_trouble.OTHER_AUTHORITY: todo.give_other_authority,
    }
    for begin, remedy in remedies.items():
        if reason.startswith(begin):
            return TlsError(f"{address} is not trusted: {reason}: {remedy}")
    return None


def _problem(alert: re.Match[str]) -> str:
    return alert[1].lower().replace("_", " ")


def _remedy(alert: re.Match[str], todo: TlsTodo) -> str:
    if alert[1].endswith("CERTIFICATE_REQUIRED"):
        return todo.give_certificate
    if alert[1].endswith("CERTIFICATE_EXPIRED"):
        return "use a new one, signed by its CA"
    return "it wants one signed by its CA"
