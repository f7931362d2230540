"""The certificates that a client trusts and presents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, SSLError

from gossipnode.client.errors import InvalidInputError
from gossipnode.rpc.tls import client_ssl_context


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the CA to trust, and our own certificate with its key, if the nodes ask for one."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


def tls_context(tls: TlsFiles) -> SSLContext:
    """Read the files.

    Raises:
        InvalidInputError: names the file that is missing or cannot be used.
    """
    for option, path in (("--ca", tls.ca), ("--cert", tls.cert), ("--key", tls.key)):
        if path is not None and not path.is_file():
            raise InvalidInputError(f"{option}: no such file: {path}")
    try:
        return client_ssl_context(tls.ca, tls.cert, tls.key)
    except (OSError, SSLError) as error:
        files = ", ".join(str(path) for path in (tls.ca, tls.cert, tls.key) if path is not None)
        raise InvalidInputError(f"{files}: not usable as PEM certificates: {error}") from None
