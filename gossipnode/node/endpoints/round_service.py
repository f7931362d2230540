"""RoundService: what holders report to the origin of a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.origin import Origin
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.round_codec import decode_report


class RoundService:
    """Serves holders of rounds that this node started."""

    def __init__(self, origin: Origin) -> None:
        """Hand reports to `origin`."""
        self._origin = origin

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.REPORT: self.report}

    async def report(self, request: v1.ReportRequest, call: CallContext) -> v1.ReportResponse:
        """Take what a holder reports of a round that we started. A caller may report only as itself.

        Under TLS the caller's name was checked against its certificate before.
        """
        if request.holder != call_metadata.text(call.metadata, call_metadata.NODE):
            raise RpcError(Status.PERMISSION_DENIED, "report: its holder is not the caller")
        try:
            self._origin.report(decode_report(request))
        except ValueError as error:
            raise RpcError(Status.INVALID_ARGUMENT, f"report: {error}") from error
        return v1.ReportResponse()
