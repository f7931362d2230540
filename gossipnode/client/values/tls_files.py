"""The certificates that a client trusts and presents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gossipnode.client.errors import InvalidInputError
from gossipnode.rpc.tls import ClientTls, client_tls


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the CA to trust, and our own certificate with its key, if the nodes ask for one."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


def client_tls_of(tls: TlsFiles, server_name: str | None = None) -> ClientTls:
    """Read the files. `server_name` is the name to expect in a node's certificate, if not the host dialled.

    Raises:
        InvalidInputError: names the file that is missing or cannot be used, or the name.
    """
    for option, path in (("--ca", tls.ca), ("--cert", tls.cert), ("--key", tls.key)):
        if path is not None and not path.is_file():
            raise InvalidInputError(f"{option}: no such file: {path}")
    try:
        return client_tls(tls.ca, tls.cert, tls.key, server_name=server_name)
    except ValueError as error:
        raise InvalidInputError(
            f"the server name {server_name!r:.80} is no name that a certificate can have: {error}"
        ) from None
    except OSError as error:
        files = ", ".join(str(path) for path in (tls.ca, tls.cert, tls.key) if path is not None)
        raise InvalidInputError(f"{files}: not usable as PEM certificates: {error}") from None
