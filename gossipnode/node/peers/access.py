"""Decides which calls are let in.

A call of another cluster is always refused. Under TLS, the calls that members make of each other are taken
from members alone, and a caller's name is the DNS name in its certificate, never what a message says.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from gossipnode.config.settings import Settings
from gossipnode.node.local.registry import Registry
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services

_MEMBERS_ONLY = frozenset(
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
"""The methods that only members call."""


class Access:
    """Judges every call before its handler runs."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        """The members are those of `registry` at the time of each call."""
        self._cluster = settings.cluster.name
        self._names_count = settings.tls is not None and settings.tls.require_client
        self._registry = registry

    def authorize(self, call: CallContext) -> None:
        """Refuse a call of another cluster, and one for members from a caller that is not a member.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        call_metadata.refuse_other_clusters(call, self._cluster)
        if not self._names_count:
            return
        names = set(call.peer_certificate_names)
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if call.path == services.REPLICA_JOIN.path and said not in names:
            raise RpcError(Status.PERMISSION_DENIED, f"the certificate does not name {said[:80]!r}")
        if call.path not in _MEMBERS_ONLY:
            return
        if names.isdisjoint(self._members()) or (said and said not in names):
            raise RpcError(
                Status.PERMISSION_DENIED,
                f"the certificate names {', '.join(sorted(names)) or 'nobody'}: only members may call this",
            )

    def names_member(self, certificate_names: Sequence[str]) -> bool:
        """Whether a verified certificate with these names is one of a member."""
        return self._names_count and not self._members().isdisjoint(certificate_names)

    def _members(self) -> Set[str]:
        # A forgotten member still hands over what it has.
        view = self._registry.view
        return view.members.keys() | view.forgotten
