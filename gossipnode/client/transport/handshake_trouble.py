"""Why a handshake with a node failed, in words. A certificate that was refused is looked at once more.

Python shows a certificate only after a handshake that went well, so there is a second one, which judges
neither names nor dates. Nothing is sent over its connection.
"""

from __future__ import annotations

import ssl
from typing import Any

import anyio
from anyio.streams.tls import TLSAttribute, TLSStream

from gossipnode.config.address import Address
from gossipnode.core.access.certificate_rules import shown_date
from gossipnode.rpc.byte_stream import ssl_error_in
from gossipnode.rpc.tls import ClientTls

LOOK_SECONDS = 5.0
"""How long the second look may take."""

NO_TLS = "it does not speak TLS"
OTHER_NAMES = "its certificate is for"
WRONG_DATE = "its certificate expired on"
TOO_EARLY = "its certificate is not valid before"
OTHER_AUTHORITY = "its certificate is not of our CA"
"""How the text begins that says what is the matter."""

# Codes of OpenSSL (X509_V_ERR_...).
_NAME_CODES = (62, 64)
_TOO_EARLY_CODE = 9
_EXPIRED_CODE = 10
_AUTHORITY_CODES = (18, 19, 20, 21)


async def trouble(address: Address, tls: ClientTls, error: BaseException) -> str:
    """Why the handshake that ended in this error failed."""
    cause = ssl_error_in(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        code = cause.verify_code
        if code in _AUTHORITY_CODES:
            return f"{OTHER_AUTHORITY} ({cause.verify_message})"
        if code in (*_NAME_CODES, _TOO_EARLY_CODE, _EXPIRED_CODE):
            shown = await _certificate_of(address, tls)
            if shown is not None:
                return _said(shown, code, tls.server_name or address.host)
    elif cause is not None and cause.reason == "WRONG_VERSION_NUMBER":
        return NO_TLS
    return str(error) if cause is None else f"TLS handshake failed: {cause}"


def _said(shown: dict[str, Any], code: int, wanted: str) -> str:
    if code in _NAME_CODES:
        names = [str(name) for _, name in shown.get("subjectAltName", ())]
        return f"{OTHER_NAMES} {', '.join(names) or 'nobody'}, not for {wanted}"
    begin, date = (TOO_EARLY, "notBefore") if code == _TOO_EARLY_CODE else (WRONG_DATE, "notAfter")
    return f"{begin} {shown_date(ssl.cert_time_to_seconds(shown[date]))}"


async def _certificate_of(address: Address, tls: ClientTls) -> dict[str, Any] | None:
    """What the certificate of the node at this address says; None if it cannot be seen."""
    try:
        with anyio.fail_after(LOOK_SECONDS):
            async with await anyio.connect_tcp(address.host, address.port) as plain:
                stream = await TLSStream.wrap(
                    plain, server_side=False, ssl_context=tls.lenient, standard_compatible=False
                )
                shown: dict[str, Any] | None = stream.extra(TLSAttribute.peer_certificate, None)
                return shown
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
        return None
