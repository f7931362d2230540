"""Decides which calls are let in.

A call of another cluster is always refused. Under TLS, the calls that members make of each other are taken
from members alone, and a caller's name is the DNS name in its certificate, never what a message says.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from gossipnode.config.settings import Settings
from gossipnode.node.local.cluster_state import ClusterState
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
        services.REPLICA_LINEAGES,
        services.REPLICA_HELLO,
        services.REPLICA_EPOCH,
    )
)
"""The methods that only members call."""


_TOLD = frozenset((services.REPLICA_HELLO.path, services.REPLICA_EPOCH.path))
"""The methods by which nodes learn what was decided."""


class Access:
    """Judges every call before its handler runs."""

    def __init__(self, settings: Settings, cluster: ClusterState) -> None:
        """The members are those of `cluster` at the time of each call."""
        self._cluster_name = settings.cluster.name
        self._names_count = settings.tls is not None and settings.tls.require_client
        self._cluster = cluster

    def authorize(self, call: CallContext) -> None:
        """Refuse a call of another cluster, and one for members from a caller that is not a member.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        call_metadata.refuse_other_clusters(call, self._cluster_name)
        if not self._names_count:
            return
        names = set(call.peer_certificate_names)
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if call.path == services.REPLICA_JOIN.path and said not in names:
            raise RpcError(Status.PERMISSION_DENIED, f"the certificate does not name {said[:80]!r}")
        if call.path not in _MEMBERS_ONLY:
            return
        if call.path == services.REPLICA_HELLO.path and not self._cluster.view.formed and said in names:
            # A node that is about to join is asked by a member whether it is there.
            return
        if call.path in _TOLD and not names.isdisjoint(self._cluster.view.metadata.forgotten):
            # A member that was dropped while it was away has to hear of it, or it would run on for nobody.
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
        view = self._cluster.view
        return view.members.keys() | view.metadata.foreign.keys()
