"""What is told of those who call: each change of members and groups, and each call that was refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

import structlog

from gossipnode.core.cluster.deciding.epoch_story import epoch_story
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.peers import call_metadata
from gossipnode.observe.events import ClusterChanged, Events
from gossipnode.rpc import CallContext, RpcError

REFUSED_CALLERS_MAX: Final = 4096
"""How many callers and methods are known to have been refused. Beyond that, one that comes again is new."""

AUDIT_LOGGER = "gossipnode.audit"

Lacking: TypeAlias = Literal["cluster", "role", "membership", "secret"]
"""What a caller that is refused is not in, or does not have."""


class Audit:
    """Tells in the log who did what, from where, and what came of it."""

    def __init__(self, events: Events | None = None) -> None:
        """Nothing was refused yet. `events` is told of each change."""
        self._events = events or Events()
        self.refused = 0
        """Calls that were refused since the start."""
        self.refused_for: dict[str, int] = dict.fromkeys(get_args(Lacking), 0)
        """The same, by what the callers lacked."""
        self._told: dict[tuple[str, str], None] = {}
        self._log = structlog.get_logger(AUDIT_LOGGER)

    def refuse(self, call: CallContext, error: RpcError, lacking: Lacking) -> None:
        """Count a call that was refused, and tell of the first one of this caller and method."""
        self.refuse_caller(caller_text(call), call.path, call.peer, error.message or "", lacking)

    def refuse_caller(self, who: str, method: str, peer: str, reason: str, lacking: Lacking) -> None:
        """The same of a caller `who` at the address `peer`, for what need not be a call of gRPC."""
        self.refused += 1
        self.refused_for[lacking] += 1
        if (who, method) in self._told:
            return
        if len(self._told) >= REFUSED_CALLERS_MAX:
            del self._told[next(iter(self._told))]
        self._told[who, method] = None
        self._log.warning("call refused", caller=who, method=method, peer=_host(peer), reason=reason)

    def changed(self, call: CallContext, what: str, **details: object) -> None:
        """Tell of a change of members or groups that a client asked for, and that was made."""
        self._log.info(what, caller=caller_text(call), peer=_host(call.peer), **details)

    async def follow(self, cluster: ClusterState) -> None:
        """Tell of each change that was decided, also of those that no client asked for, until cancelled."""
        known = cluster.metadata
        while True:
            changed, value = cluster.changed.pending, cluster.metadata
            if value is not None and value is not known:
                for event in epoch_story(known, value):
                    self._log.info(f"decided: {event.what}", epoch=value.epoch, **event.details)
                    details = ", ".join(f"{name} {detail}" for name, detail in event.details.items())
                    self._events.tell(ClusterChanged(value.epoch, event.what, details))
                known = value
            await changed.wait()


def caller_text(call: CallContext) -> str:
    """Who calls: the names in its certificate, or else the name that it says, marked as such."""
    if call.peer_certificate_names:
        return certificate_text(call.peer_certificate_names)
    said = call_metadata.text(call.metadata, call_metadata.NODE)
    return f"{said[:80]!r} (without a certificate)" if said else certificate_text(())


def certificate_text(names: Sequence[str]) -> str:
    """Who shows a certificate with these names. Without a certificate there are none."""
    return ", ".join(names) or "nobody (without a certificate)"


def _host(peer: str) -> str:
    return peer.rpartition(":")[0] or peer
