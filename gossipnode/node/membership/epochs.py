"""Epochs: this node's part in deciding what the cluster is.

A change is proposed by the node that was asked for it. Reads, writes and rounds wait for none of this.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import structlog
import trio

from gossipnode.concurrency.loop_steps import in_short_steps
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.changes import Change
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.acceptor import AcceptorState, answer
from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Ballot,
    Prepare,
    Reply,
    Request,
    Stranger,
    next_ballot,
)
from gossipnode.core.cluster.deciding.proposer import Attempt, Decided, Learned, Overtaken, votes_needed
from gossipnode.core.cluster.targets import Standing
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.attempt_run import run_attempt
from gossipnode.node.membership.epoch_news import EpochNews, ToldMembers
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import NotFormedError, TooFewMembersError
from gossipnode.store.interface import StoreError
from gossipnode.wire.epochs.epoch_codec import (
    Announce,
    Ask,
    At,
    EpochAnswer,
    EpochQuestion,
)
from gossipnode.wire.epochs.metadata_codec import check_size

CHANGE_SECONDS = 8.0
"""How long a change is tried. A client waits for 10 s if it is not told otherwise."""

ATTEMPT_PAUSE_MIN_SECONDS = 0.01
ATTEMPT_PAUSE_MAX_SECONDS = 0.5
"""The longest pause before another attempt; it doubles with each. The pause itself is random."""

UNDECIDED_SECONDS = 5.0
"""How long a value may be accepted here and undecided, before this node has it decided."""

Admit: TypeAlias = Callable[[ClusterMetadata], str]
"""Why a first epoch is not what this node's configuration says; "" when it is."""


class Epochs:
    """Decides epochs with the other members."""

    def __init__(self, cluster: ClusterState, members: Members, news: EpochNews, rng: random.Random) -> None:
        """Vote by the state of `cluster`, and ask `members`; what was decided is spread by `news`.

        `rng` draws the nonces of ballots and spreads attempts.
        """
        self._cluster = cluster
        self._own_name = members.own_name
        self._news = news
        self._rng = rng
        self._changing = trio.Lock()
        """Held by one change of this node at a time: two would only overtake each other."""
        self._log = structlog.get_logger("gossipnode.cluster")
        self._told = ToldStates(self._log)

    # As a voter, and as one that is told

    async def answer(self, caller: str, question: EpochQuestion, admit: Admit) -> EpochAnswer:
        """Answer a member's question. What is promised and accepted is durable before the answer is given.

        Raises:
            StoreError: it was not kept, so there is no answer.
        """
        cluster = self._cluster
        match question:
            case Announce():
                if question.value.is_member(cluster.own) or cluster.metadata is not None:
                    await self._news.adopt(question.value, question.teller)
                return At(cluster.epoch)
            case Ask():
                return self._news.tell(caller, question)
            case Accept() if question.instance == 0 and (problem := admit(question.value)):
                return Stranger(problem)
            case _:
                async with cluster.turn:
                    return await self._vote(question)

    async def _vote(self, question: Prepare | Accept[ClusterMetadata]) -> Reply[ClusterMetadata]:
        if not self._cluster.cleared:
            # It may have forgotten what it promised.
            return Stranger(f"{self._own_name} {Standing.UNCLEARED.value}")
        after, reply = answer(self._cluster.acceptor, question)
        if after != self._cluster.acceptor:
            await self._cluster.keep(after)
        return reply

    # As a proposer

    async def change(self, change: Change) -> tuple[ClusterMetadata, int]:
        """Have a change decided; gives the value in which it stands, and how many members have it.

        Raises:
            ChangeRefusedError: its rule forbids it.
            NotFormedError: there is no cluster yet.
            MetadataTooLargeError: the value would be too large.
            TooFewMembersError: too few members agreed in time. The change may still come.
            StoreError: our own part was not kept.
        """
        told = ToldMembers()
        with one_error():
            async with trio.open_nursery() as nursery:

                def decided(value: ClusterMetadata) -> None:
                    nursery.start_soon(self._news.spread, value, told)

                async with self._changing:
                    value = await self._decide_change(change, decided)
        # Those that are members only now were not to be reached before this node took the value over.
        return value, await self._news.spread(value, told)

    async def _decide_change(
        self, change: Change, decided: Callable[[ClusterMetadata], None]
    ) -> ClusterMetadata:
        """Make attempts until the change stands. `decided` is called as soon as it does."""
        problem, tried, highest = "no attempt was made", 0, NO_BALLOT
        with trio.move_on_after(CHANGE_SECONDS):
            while True:
                now = self._cluster.metadata
                if now is None:
                    await self._cluster.wait_formed(CHANGE_SECONDS)
                    continue
                made = change(now)
                target = made if isinstance(made, ClusterMetadata) else await in_short_steps(made)
                if target is now:
                    return now
                check_size(target)
                attempt, problem = await self._attempt(now.epoch, now.cluster_id, now.voters, target, highest)
                highest = self._seen(attempt, highest)
                match attempt.outcome:
                    case Decided(value, own):
                        if own:
                            # The others take it over while this node does.
                            decided(value)
                        await self._news.adopt(value, 0)
                        if own:
                            return value
                    case Learned(value, teller):
                        await self._news.adopt(value, teller)
                    case _:
                        await self._pause(tried)
                        tried += 1
        if self._cluster.metadata is None:
            raise NotFormedError("no cluster is formed yet: `status` says what it waits for")
        raise TooFewMembersError(
            f"{problem}: the change may still come, see `status`; if a majority of the members is gone for "
            "good, `recover` is the way out"
        )

    async def form(self, value: ClusterMetadata) -> str:
        """Try once to have a first epoch decided, by all of its members; gives why it was not, or ""."""
        attempt, problem = await self._attempt(
            0, value.cluster_id, value.voters, value, self._cluster.acceptor.promised
        )
        match attempt.outcome:
            case Decided(decided):
                if not await self._news.adopt(decided, 0):
                    return problem
                await self._news.spread(decided)
                return ""
            case Learned(learned, teller) if learned.is_member(self._cluster.own):
                await self._news.adopt(learned, teller)
                return ""
            case _:
                await self._pause(0)
                return problem

    async def _attempt(
        self,
        instance: int,
        cluster_id: bytes,
        voters: Mapping[str, int],
        value: ClusterMetadata,
        highest: Ballot,
    ) -> tuple[Attempt[ClusterMetadata], str]:
        """One attempt, up to an outcome or until every voter has answered, or had its time."""
        attempt = Attempt(
            instance,
            cluster_id,
            voters,
            needed=votes_needed(instance, len(voters)),
            ballot=next_ballot(max(highest, self._cluster.acceptor.promised), self._rng.getrandbits(64)),
            value=value,
        )
        failures = await run_attempt(attempt, self)
        return attempt, attempt.problem(failures)

    async def vote(self, name: str, request: Request[ClusterMetadata]) -> Reply[ClusterMetadata]:
        """Have one voter answer a proposer's request: this node, or another member.

        Raises:
            RpcError: it does not answer; the text says why.
            WireError: its answer makes no sense.
            StoreError: our own part was not kept.
        """
        if name == self._own_name:
            async with self._cluster.turn:
                return await self._vote(request)
        reply = await self._news.ask(self._news.peer(name), request)
        return Stranger("a wrong answer") if isinstance(reply, At) else reply

    async def teach(self, name: str) -> None:
        """Tell a voter that is behind of our epoch."""
        await self._news.announce(self._news.peer(name))

    def _seen(self, attempt: Attempt[ClusterMetadata], highest: Ballot) -> Ballot:
        seen = attempt.outcome.highest if isinstance(attempt.outcome, Overtaken) else attempt.ballot
        return max(highest, seen)

    async def _pause(self, tried: int) -> None:
        longest = min(ATTEMPT_PAUSE_MIN_SECONDS * 2**tried, ATTEMPT_PAUSE_MAX_SECONDS)
        await trio.sleep(self._rng.uniform(0, longest))

    async def finish_what_was_left(self) -> None:
        """Have values decided that were accepted here, and whose proposer is gone."""
        cluster = self._cluster
        seen: AcceptorState[ClusterMetadata] | None = None
        while True:
            await trio.sleep(UNDECIDED_SECONDS)
            now = cluster.acceptor
            if now is seen and now.decided is not None and now.accepted is not None:
                try:
                    await self.change(partial(_finish, now.decided, now.accepted[1]))
                except (TooFewMembersError, StoreError) as error:
                    epoch = now.accepted[1].epoch
                    self._told.tell("undecided", "an epoch is left undecided", epoch=epoch, reason=str(error))
                else:
                    self._told.is_over("undecided")
            seen = cluster.acceptor


def _finish(before: ClusterMetadata, accepted: ClusterMetadata, now: ClusterMetadata) -> ClusterMetadata:
    """A value that was accepted, as long as nothing else was decided in the meantime."""
    return accepted if now == before else now
