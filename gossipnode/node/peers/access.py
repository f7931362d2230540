"""Who may call, and how we show who we are: TLS contexts, the cluster's name, names in certificates.

Under TLS a peer's name is the DNS name in its certificate, never what a message says.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Collection, Sequence
from typing import Any

import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings, TlsSettings
from gossipnode.node.peers import call_metadata
from gossipnode.node.world import Network
from gossipnode.rpc import CallContext, Channel, RpcError, Status
from gossipnode.rpc.tls import client_ssl_context, server_ssl_context, tls_listeners
from gossipnode.wire import services

_REPLICAS_ONLY = frozenset(
    method.path
    for method in (
        services.REPAIR,
        services.PROPAGATION,
        services.REPORT,
        services.REPLICA_EXCHANGE,
        services.REPLICA_SCAN,
        services.REPLICA_HELLO,
    )
)
"""Methods that only members call."""


class CertificateError(Exception):
    """A certificate, key or CA file cannot be used; the text names it."""


class Access:
    """The doors of a node, in both directions."""

    def __init__(self, settings: Settings) -> None:
        """Read the certificates.

        Raises:
            CertificateError: a file cannot be used.
        """
        self._settings = settings
        self.members: Callable[[], Collection[str]] = lambda: settings.members
        """Who may call what is for members; those of the configuration, until the registry is there."""
        self._server_context: ssl.SSLContext | None = None
        self._client_context: ssl.SSLContext | None = None
        if settings.tls is not None:
            self._server_context, self._client_context = _contexts(settings.tls)

    @property
    def metadata(self) -> dict[str, str]:
        """What goes with every call to another member."""
        return {
            call_metadata.CLUSTER: self._settings.cluster.name,
            call_metadata.NODE: self._settings.node.name,
        }

    def reload(self) -> None:
        """Read certificate and key anew, for connections made from now on.

        Raises:
            CertificateError: a file cannot be used; then nothing has changed.
        """
        tls = self._settings.tls
        if tls is None or self._server_context is None or self._client_context is None:
            return
        _contexts(tls)
        try:
            self._server_context.load_cert_chain(tls.cert, tls.key)
            self._client_context.load_cert_chain(tls.cert, tls.key)
        except (OSError, ValueError) as error:
            # Replaced just now, after they were read the first time.
            raise _unusable(tls, error) from None

    def guard(self, listeners: Sequence[trio.abc.Listener[Any]]) -> Sequence[trio.abc.Listener[Any]]:
        """The listeners, with TLS where it is configured."""
        if self._server_context is None:
            return listeners
        return tls_listeners(listeners, self._server_context)

    def open_channel(
        self, network: Network, rng: random.Random, name: str | None, address: Address
    ) -> Channel:
        """A channel to a member, which must show a certificate with its name where TLS is configured.

        None for a member whose name is not known yet: any certificate of the cluster's CA will do.
        """
        context = self._client_context
        if context is not None and name is None:
            assert self._settings.tls is not None
            _, context = _contexts(self._settings.tls)
            context.check_hostname = False

        async def connect() -> trio.abc.Stream:
            stream = await network.connect(address)
            if context is None:
                return stream
            return trio.SSLStream(
                stream, context, server_hostname=name or address.host, https_compatible=True
            )

        return Channel(
            connect,
            authority=str(address) if context is None or name is None else name,
            scheme="http" if context is None else "https",
            rng=rng,
        )

    def authorize(self, call: CallContext) -> None:
        """Refuse a call of another cluster, and one for replicas whose certificate names no member.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        call_metadata.refuse_other_clusters(call, self._settings.cluster.name)
        tls = self._settings.tls
        if tls is None or not tls.require_client:
            return
        names = set(call.peer_certificate_names)
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if call.path == services.REPLICA_JOIN.path and said not in names:
            raise RpcError(Status.PERMISSION_DENIED, f"the certificate does not name {said[:80]!r}")
        if call.path not in _REPLICAS_ONLY:
            return
        if names.isdisjoint(self.members()) or (said and said not in names):
            raise RpcError(
                Status.PERMISSION_DENIED,
                f"the certificate names {', '.join(sorted(names)) or 'nobody'}: only members may call this",
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
