"""TLS for nodes and clients of one cluster: HTTP/2, and certificates of the cluster's own CA.

Must never accept a certificate of another CA.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

FilePath = str | Path

HTTP2: Final = ("h2",)
HTTP1: Final = ("http/1.1",)

NO_CHECK_TIME: Final = 0x200000
"""A flag of `verify_flags`: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, to which Python gives no name."""


def server_ssl_context(
    ca: FilePath | None,
    cert: FilePath,
    key: FilePath,
    *,
    require_client: bool,
    protocols: Sequence[str] = HTTP2,
) -> ssl.SSLContext:
    """A server's context, which shows `cert` with `key`, and takes certificates of clients of `ca` alone.

    With `require_client` every client has to show one. `protocols` are offered by ALPN. All are PEM files.
    Raises OSError or ssl.SSLError for files that cannot be used, ValueError if clients are to be checked but
    `ca` is None.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, cert, key, protocols)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    elif require_client:
        raise ValueError("to require client certificates, give the CA that signs them")
    return context


def client_ssl_context(
    ca: FilePath, cert: FilePath | None = None, key: FilePath | None = None
) -> ssl.SSLContext:
    """A client's context, which trusts `ca` alone and shows `cert` with `key` if given (PEM files)."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, cert, key)
    context.load_verify_locations(ca)
    return context


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How a client meets servers under TLS."""

    context: ssl.SSLContext
    lenient: ssl.SSLContext
    """Judges neither names nor dates, only by which CA a certificate is. To look at one that was refused;
    nothing may be sent over its connections."""
    server_name: str | None = None
    """The name to expect in a server's certificate; None for the host that is dialled."""


def client_tls(
    ca: FilePath,
    cert: FilePath | None = None,
    key: FilePath | None = None,
    *,
    server_name: str | None = None,
) -> ClientTls:
    """Read the files of a client (PEM).

    Raises:
        OSError: a file cannot be used. ssl.SSLError is one.
        ValueError: no certificate can have this server name.
    """
    context, lenient = (client_ssl_context(ca, cert, key) for _ in range(2))
    lenient.check_hostname = False
    lenient.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    if server_name is not None:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=server_name)
    return ClientTls(context, lenient, server_name)


def _context(
    protocol: int, cert: FilePath | None, key: FilePath | None, protocols: Sequence[str] = HTTP2
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


async def open_tls_stream(
    host: str, port: int, context: ssl.SSLContext, *, server_hostname: str | None = None
) -> trio.abc.Stream:
    """Connect to `host`:`port` for a Channel, which does the handshake itself.

    The server's certificate must have the name `server_hostname`, or `host` if that is not given.
    """
    tcp = await trio.open_tcp_stream(host, port)
    return trio.SSLStream(tcp, context, server_hostname=server_hostname or host, https_compatible=True)


class TlsListener(trio.abc.Listener["trio.SSLStream[trio.abc.Stream]"]):
    """Accepts connections with TLS, each by the context that is the present one at that moment."""

    def __init__(self, listener: trio.abc.Listener[Any], present: Callable[[], ssl.SSLContext]) -> None:
        """Put TLS upon what `listener` accepts."""
        self._listener = listener
        self._present = present

    async def accept(self) -> "trio.SSLStream[trio.abc.Stream]":
        """Accept a connection. The Server does its handshake."""
        stream = await self._listener.accept()
        return trio.SSLStream(stream, self._present(), server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        """Close the listener. Accepted connections live on."""
        await self._listener.aclose()


def tls_listeners(
    listeners: "Sequence[trio.abc.Listener[Any]]", present: "Callable[[], ssl.SSLContext]"
) -> "list[TlsListener]":
    """`listeners` with TLS. `present` gives the context for a connection that is being accepted."""
    return [TlsListener(listener, present) for listener in listeners]
