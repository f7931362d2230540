"""The certificates of this node: the TLS contexts made of them, for calls in both directions."""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence
from typing import Any

import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import Address
from gossipnode.config.settings import TlsSettings
from gossipnode.core.access.name_patterns import node_names
from gossipnode.node.peers.secret import Secret
from gossipnode.node.world import Network
from gossipnode.rpc import Channel, Limits
from gossipnode.rpc.byte_stream import peer_dns_names
from gossipnode.rpc.tls import client_ssl_context, server_ssl_context, tls_listeners

PEER_LIMITS = Limits(stream_window_bytes=512 << 10)
"""The limits of a channel to another member. Searches, sessions and the requests of all clients share it, and
some of its streams are read only as fast as a client reads.
"""


class CertificateError(Exception):
    """A certificate, key or CA file cannot be used; the text names it."""


class Certificates:
    """The files of `[tls]`, read. Without `[tls]` there are no files, and connections are not encrypted."""

    def __init__(self, tls: TlsSettings | None) -> None:
        """Read the files.

        Raises:
            CertificateError: a file cannot be used.
        """
        self._tls = tls
        self._server_context: ssl.SSLContext | None = None
        self._client_context: ssl.SSLContext | None = None
        if tls is not None:
            self._server_context, self._client_context = _contexts(tls)

    def reload(self) -> None:
        """Read certificate and key again, for connections that are made from now on.

        Raises:
            CertificateError: a file cannot be used; then nothing has changed.
        """
        tls = self._tls
        if tls is None or self._server_context is None or self._client_context is None:
            return
        _contexts(tls)
        try:
            self._server_context.load_cert_chain(tls.cert, tls.key)
            self._client_context.load_cert_chain(tls.cert, tls.key)
        except (OSError, ValueError) as error:
            # A file was replaced after `_contexts` had read it.
            raise _unusable(tls, error) from None

    def guard(self, listeners: Sequence[trio.abc.Listener[Any]]) -> Sequence[trio.abc.Listener[Any]]:
        """The listeners, with TLS where it is configured."""
        if self._server_context is None:
            return listeners
        return tls_listeners(listeners, self._server_context)

    @property
    def member_patterns(self) -> Sequence[str]:
        """See `core.access.name_patterns.node_names`."""
        return () if self._tls is None else self._tls.members

    def client_context(self, *, check_hostname: bool) -> ssl.SSLContext | None:
        """The context for a call to another node; None where TLS is not configured.

        Without `check_hostname` any certificate of the cluster's CA will do, whatever name it holds.
        """
        if self._client_context is None or check_hostname:
            return self._client_context
        assert self._tls is not None
        _, context = _contexts(self._tls)
        context.check_hostname = False
        return context


class PeerDialer:
    """Opens channels to other nodes."""

    def __init__(
        self,
        network: Network,
        rng: random.Random,
        certificates: Certificates,
        memory: MemoryBudget,
        secret: Secret,
    ) -> None:
        """Dial over `network`, showing our certificate, or proving our secret.

        `rng` spreads the pauses between tries. What the other nodes send is counted in `memory`.
        """
        self._secret = secret
        self._memory = memory
        self._network = network
        self._rng = rng
        self._certificates = certificates

    def open(self, name: str | None, address: Address) -> Channel:
        """A channel to a member, which must show a certificate with its name where TLS is configured.

        A `name` of None stands for a member whose name is not known yet.
        """
        patterns = self._certificates.member_patterns
        # A certificate may stand for a node by the first label of its name. No handshake knows of that.
        context = self._certificates.client_context(check_hostname=name is not None and not patterns)

        async def connect() -> trio.abc.Stream:
            stream = await self._network.connect(address)
            if context is None:
                return stream
            secured = trio.SSLStream(
                stream, context, server_hostname=name or address.host, https_compatible=True
            )
            if name is not None and patterns:
                await _check_name(secured, name, patterns)
            return secured

        return Channel(
            connect,
            authority=str(address) if context is None or name is None else name,
            scheme="http" if context is None else "https",
            limits=PEER_LIMITS,
            rng=self._rng,
            memory=self._memory,
            greet=self._secret.greeting(name),
        )


async def _check_name(stream: trio.SSLStream[Any], name: str, patterns: Sequence[str]) -> None:
    """Take a server for a node only if its certificate stands for one of that name.

    Raises:
        ssl.SSLError: it does not.
    """
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    names = peer_dns_names(stream)
    if name not in node_names(names, patterns):
        await trio.aclose_forcefully(stream)
        raise ssl.SSLCertVerificationError(
            f"its certificate names {', '.join(names) or 'nobody'}, not {name}"
        )


def _contexts(tls: TlsSettings) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    try:
        return (
            server_ssl_context(tls.ca, tls.cert, tls.key, require_client=tls.require_client),
            client_ssl_context(tls.ca, tls.cert, tls.key),
        )
    except (OSError, ValueError) as error:
        raise _unusable(tls, error) from None


def _unusable(tls: TlsSettings, error: Exception) -> CertificateError:
    return CertificateError(f"[tls]: {tls.ca}, {tls.cert} or {tls.key} cannot be used: {error}")
