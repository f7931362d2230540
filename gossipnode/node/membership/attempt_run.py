"""One attempt to have an epoch decided, carried out: asks the voters, and hands it their replies."""

from __future__ import annotations

from typing import Protocol

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.epoch_messages import Reply, Request
from gossipnode.core.cluster.deciding.proposer import Attempt
from gossipnode.rpc import RpcError
from gossipnode.wire.wire_errors import WireError


class Voters(Protocol):
    """How the voters are asked."""

    async def vote(self, name: str, request: Request[ClusterMetadata]) -> Reply[ClusterMetadata]:
        """Have one voter answer.

        Raises:
            RpcError: it does not answer.
            WireError: its answer makes no sense.
            StoreError: our own part was not kept.
        """
        ...

    async def teach(self, name: str) -> None:
        """Tell a voter that is behind of the epoch that the attempt follows."""
        ...


async def run_attempt(attempt: Attempt[ClusterMetadata], voters: Voters) -> dict[str, str]:
    """Ask until there is an outcome, or until every voter has answered or had its time.

    Gives why voters did not answer, by name.

    Raises:
        StoreError: our own part was not kept.
    """
    run = _Run(attempt, voters)
    await run.phase()
    while attempt.outcome is None and run.next_phase:
        run.next_phase = False
        run.failures.clear()
        await run.phase()
    return run.failures


class _Run:
    def __init__(self, attempt: Attempt[ClusterMetadata], voters: Voters) -> None:
        self._attempt = attempt
        self._voters = voters
        self.failures: dict[str, str] = {}
        self.next_phase = False

    async def phase(self) -> None:
        """Ask all voters that have not agreed; over once the next phase begins, or nobody is left."""
        with one_error():
            async with trio.open_nursery() as nursery:
                for name, request in self._attempt.requests().items():
                    nursery.start_soon(self._ask, name, request, nursery.cancel_scope)

    async def _ask(self, name: str, request: Request[ClusterMetadata], phase: trio.CancelScope) -> None:
        try:
            self._take(name, await self._voters.vote(name, request), phase)
            if name in self._attempt.behind and not self._over:
                await self._voters.teach(name)
                self._take(name, await self._voters.vote(name, request), phase)
        except (RpcError, WireError) as error:
            self.failures[name] = getattr(error, "message", "") or str(error)

    @property
    def _over(self) -> bool:
        return self.next_phase or self._attempt.outcome is not None

    def _take(self, name: str, reply: Reply[ClusterMetadata], phase: trio.CancelScope) -> None:
        if self._attempt.take(name, reply):
            self.next_phase = True
        if self._over:
            phase.cancel()
