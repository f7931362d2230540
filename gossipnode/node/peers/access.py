"""Decides which calls are let in.

A call of another cluster is always refused. Under TLS, the calls that members make of each other are taken
from members alone, and those of clients from those who have the role for them. A caller's name is that in its
certificate, never what a message says. Without TLS, members may have to prove that they know a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from gossipnode.config.settings import Settings
from gossipnode.core.access.name_patterns import matches_any, node_names
from gossipnode.core.access.roles import Role
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.audit import Audit, Lacking, certificate_text
from gossipnode.node.peers.method_access import needed_role
from gossipnode.node.peers.secret import proven_name
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services

_TOLD = frozenset((services.REPLICA_HELLO.path, services.REPLICA_EPOCH.path))
"""The methods by which nodes learn what was decided."""


_OF_FOREIGN = frozenset((services.REPAIR.path, services.PROPAGATION.path))
"""The methods that foreign members call."""

OPEN_WARNING = (
    "neither [tls] nor [cluster] secret is set: everybody who reaches this node's port owns its data"
)


STATUS_PORT = "status port"
"""Stands for a method where the log tells of a visitor of the status port who was refused."""

_A_ROLE = {Role.READER: "a reader", Role.WRITER: "a writer", Role.ADMIN: "an admin"}


class Access:
    """Judges every call before its handler runs."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterState,
        audit: Audit,
        certificate_warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """The members are those of `cluster` at the time of each call. What is refused goes to `audit`."""
        self.certificate_warnings = certificate_warnings
        """What those who run the node should know of its certificates, as of now."""
        self._cluster_name = settings.cluster.name
        self._configured = settings.cluster.peers.keys() | settings.cluster.foreign.keys()
        self._tls = settings.tls
        self._proves = settings.tls is None and bool(settings.cluster.secret)
        self._cluster = cluster
        self.audit = audit

    def warnings(self) -> Sequence[str]:
        """What those who run the node should know of who may call it."""
        if self._tls is not None:
            return self.certificate_warnings()
        return () if self._proves else (OPEN_WARNING,)

    def authorize(self, call: CallContext) -> None:
        """Refuse a call of another cluster, and one whose caller may not make it.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        try:
            self._judge(call)
        except RpcError as error:
            self.audit.refuse(call, error, self._lacking(call, error))
            raise

    def require(self, call: CallContext, needed: Role) -> None:
        """Refuse what a client asks for within a call that is for more than this, unless it has the role.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        try:
            self._judge_role(call, needed)
        except RpcError as error:
            self.audit.refuse(call, error, "role")
            raise

    def status_refusal(self, peer: str, certificate_names: Sequence[str]) -> str:
        """Why a visitor of the status port at the address `peer` may see nothing there; empty if it may.

        It may see everything if it may read. `certificate_names` are those of its verified certificate. A
        refusal is counted and told as that of a call is.
        """
        names = certificate_names if self._tls is None else node_names(certificate_names, self._tls.members)
        problem = self._lacks_role(names, Role.READER)
        if problem:
            self.audit.refuse_caller(certificate_text(names), STATUS_PORT, peer, problem, "role")
        return problem

    def _lacking(self, call: CallContext, error: RpcError) -> Lacking:
        """What a refused caller lacks, for those who count."""
        if error.status is Status.UNAUTHENTICATED:
            return "secret"
        cluster = call_metadata.text(call.metadata, call_metadata.CLUSTER)
        if cluster and cluster != self._cluster_name:
            return "cluster"
        return "membership" if needed_role(call.path) is None else "role"

    def names_member(self, certificate_names: Sequence[str]) -> bool:
        """Whether a verified certificate with these names is one of a member."""
        if self._tls is None:
            return False
        return not self._members().isdisjoint(node_names(certificate_names, self._tls.members))

    def _judge(self, call: CallContext) -> None:
        call_metadata.refuse_other_clusters(call, self._cluster_name)
        needed = needed_role(call.path)
        if self._tls is None:
            if self._proves and needed is None and call.path != services.PROVE.path:
                self._judge_proven(call)
            return
        call.peer_certificate_names = node_names(call.peer_certificate_names, self._tls.members)
        if needed is not None:
            self._judge_role(call, needed)
        elif call.path == services.REPLICA_JOIN.path:
            self._judge_join(call)
        else:
            names = call.peer_certificate_names
            self._judge_member(call, names, _named(names))

    def _judge_role(self, call: CallContext, needed: Role) -> None:
        problem = self._lacks_role(call.peer_certificate_names, needed)
        if problem:
            raise RpcError(Status.PERMISSION_DENIED, problem)

    def _lacks_role(self, names: Sequence[str], needed: Role) -> str:
        """Why a caller with these names has not the role that is needed; empty if it has."""
        if self._tls is None:
            return ""
        roles = self._tls.roles
        role = Role.ADMIN if not self._members().isdisjoint(names) else roles.of(names)
        if roles.admits(role, needed):
            return ""
        has = "has no role" if role is Role.NONE else f"is {_A_ROLE[role]}"
        return (
            f"{_named(names)}, which {has} here; this takes {_A_ROLE[needed]}: see [tls] readers, "
            "writers and admins of the node"
        )

    def _judge_proven(self, call: CallContext) -> None:
        """Refuse a call of members from one who has not proven that it knows the secret of the cluster.

        A foreign member knows none, and says nothing of who it is. Its sessions and rounds are let in as long
        as there is such a member.
        """
        said, proven = call_metadata.text(call.metadata, call_metadata.NODE), proven_name(call)
        if proven is None:
            foreign = not said and call.path in _OF_FOREIGN and self._cluster.view.metadata.foreign
            if not foreign:
                raise RpcError(
                    Status.UNAUTHENTICATED,
                    "this cluster has a [cluster] secret, which the caller has not proven to know",
                )
        elif call.path == services.REPLICA_JOIN.path:
            if said != proven:
                raise RpcError(Status.PERMISSION_DENIED, f"{proven[:80]!r} joins under another name")
        else:
            self._judge_member(call, (proven,), repr(proven[:80]))

    def _judge_join(self, call: CallContext) -> None:
        names = call.peer_certificate_names
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if said not in names:
            raise RpcError(Status.PERMISSION_DENIED, f"the certificate does not name {said[:80]!r}")
        if not self._may_join(said, names):
            raise RpcError(
                Status.PERMISSION_DENIED,
                f"{_named(names)} is not one of those that may join: add it to [tls] members of the nodes",
            )

    def _judge_member(self, call: CallContext, names: Sequence[str], who: str) -> None:
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        if call.path == services.REPLICA_HELLO.path and not self._cluster.view.formed and said in names:
            # A node that is about to join is asked by a member whether it is there.
            return
        if call.path in _TOLD and not self._cluster.view.metadata.forgotten.isdisjoint(names):
            # A member that was dropped while it was away has to hear of it, or it would run on for nobody.
            return
        if self._members().isdisjoint(names) or (said and said not in names):
            raise RpcError(Status.PERMISSION_DENIED, f"{who}: only members may call this")

    def _may_join(self, name: str, names: Sequence[str]) -> bool:
        assert self._tls is not None
        known = name in self._configured or name in self._members()
        return known or matches_any(self._tls.members, names)

    def _members(self) -> Set[str]:
        view = self._cluster.view
        return view.members.keys() | view.metadata.foreign.keys()


def _named(names: Sequence[str]) -> str:
    return f"the certificate names {', '.join(names)}" if names else "a caller without a certificate"
