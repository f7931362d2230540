"""What both ends ask of a Trio stream before HTTP/2 runs over it: a TLS handshake, and who the peer is.

Must never let a connection begin whose handshake failed, or that did not agree upon HTTP/2.
"""

import os
import ssl
from contextlib import suppress
from typing import Any, Final, cast

import trio

from gossipnode.rpc.limits import Limits

#: A Trio stream raises one of these once its other end is gone or its own end is closed.
STREAM_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
"""What OpenSSL calls the first bytes of a peer that speaks no TLS."""


class HandshakeError(Exception):
    """TLS could not be agreed upon; the text says why, for a log or a user."""


async def handshake(
    stream: trio.abc.Stream, limits: Limits, *, to_plain: bytes = b"", needs_http2: bool = True
) -> None:
    """Complete the TLS handshake of `stream`, if it has one, and check that both ends speak HTTP/2.

    Without `needs_http2` the ends may speak what they like. The handshake comes before any reader or writer
    starts: if one of them began it and it failed, the other would hang. Raises HandshakeError after
    `handshake_seconds` at the latest; the stream is then closed. A peer that speaks no TLS is sent `to_plain`
    before that.
    """
    if not isinstance(stream, trio.SSLStream):
        return
    tls = cast("trio.SSLStream[trio.abc.Stream]", stream)
    try:
        await _handshake(tls, limits, needs_http2=needs_http2)
    except HandshakeError as error:
        try:
            await _send_alert(tls, limits)
            cause = ssl_error_in(error)
            if to_plain and cause is not None and cause.reason in _NO_TLS:
                await _send_last(tls.transport_stream, to_plain, limits)
        finally:
            await trio.aclose_forcefully(tls)
        raise
    except BaseException:
        await trio.aclose_forcefully(tls)
        raise


async def _send_alert(stream: "trio.SSLStream[trio.abc.Stream]", limits: Limits) -> None:
    """Tell the peer why. Trio does not send OpenSSL's alert, and the peer would only see the stream end."""
    alert = stream._outgoing.read()  # pyright: ignore[reportPrivateUsage]
    if alert:
        with trio.move_on_after(limits.close_seconds), suppress(*STREAM_ERRORS):
            await stream.transport_stream.send_all(alert)


async def _send_last(stream: trio.abc.Stream, data: bytes, limits: Limits) -> None:
    """Send this, and read until the peer has ended. The kernel could drop it while bytes are unread."""
    with trio.move_on_after(limits.close_seconds), suppress(*STREAM_ERRORS):
        await stream.send_all(data)
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
        while await stream.receive_some(limits.read_bytes):
            pass


def ssl_error_in(error: BaseException) -> ssl.SSLError | None:
    """The error of OpenSSL that caused another one, if one did."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    return cause


async def _handshake(stream: "trio.SSLStream[trio.abc.Stream]", limits: Limits, *, needs_http2: bool) -> None:
    try:
        with trio.fail_after(limits.handshake_seconds):
            await stream.do_handshake()
    except trio.TooSlowError:
        raise HandshakeError(f"no TLS handshake within {limits.handshake_seconds:g} s") from None
    except (*STREAM_ERRORS, ssl.SSLError, OSError) as error:
        cause = error.__cause__ or error
        raise HandshakeError(f"TLS handshake failed: {cause}") from error
    if needs_http2 and stream.selected_alpn_protocol() != "h2":
        raise HandshakeError("the peer does not offer HTTP/2 (ALPN h2)")


async def send(stream: trio.abc.Stream, data: bytes | bytearray) -> None:
    """Send all of `data`. What a socket takes at once needs no turn of the loop, which Trio's own way takes.

    The caller must meet a checkpoint before it sends again.

    Raises:
        trio.BrokenResourceError, trio.ClosedResourceError: as `send_all` of a stream.
    """
    sent = _send_at_once(stream.socket, data) if isinstance(stream, trio.SocketStream) else 0
    if sent < len(data):
        await stream.send_all(memoryview(data)[sent:] if sent else data)


def _send_at_once(socket: trio.socket.SocketType, data: bytes | bytearray) -> int:
    """How many bytes the socket takes without waiting."""
    descriptor = socket.fileno()
    if descriptor < 0:
        raise trio.ClosedResourceError("this socket was already closed")
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise trio.BrokenResourceError(f"socket connection broken: {error}") from error


def peer_name(stream: trio.abc.Stream) -> str:
    """The peer's address as text, for logs and `CallContext.peer`."""
    address = _socket_address(stream)
    if isinstance(address, tuple):
        host, port = cast("tuple[str, int]", address[:2])
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address) or "unix"


def peer_host(stream: trio.abc.Stream) -> str:
    """The IP address of the peer; "" if it has none."""
    address = _socket_address(stream)
    return str(cast("tuple[str, int]", address)[0]) if isinstance(address, tuple) else ""


def _socket_address(stream: trio.abc.Stream) -> object:
    """What the operating system says of the peer, or what there is to say without it."""
    inner: trio.abc.Stream = stream
    if isinstance(stream, trio.SSLStream):
        inner = cast("trio.SSLStream[trio.abc.Stream]", stream).transport_stream
    if not isinstance(inner, trio.SocketStream):
        return "memory"
    try:
        address: object = inner.socket.getpeername()
    except OSError:
        return "unknown"
    return address


def peer_dns_names(stream: trio.abc.Stream) -> tuple[str, ...]:
    """The DNS names of the peer's verified certificate; () without TLS or without a certificate."""
    if not isinstance(stream, trio.SSLStream):
        return ()
    certificate: dict[str, Any] | None = stream.getpeercert()
    names = (certificate or {}).get("subjectAltName", ())
    return tuple(str(value) for kind, value in names if kind == "DNS")
