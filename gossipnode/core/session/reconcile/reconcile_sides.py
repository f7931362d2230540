"""The client and the server of a reconcile session, between two of our own nodes.

Both do the same: each answers the sums and tags of the other with its own, with records that the other one
lacks, and with wants. Only the beginning and the end have roles. The client opens with the sums of its root;
once all its questions are answered and all that came is durable it says so, and the server does the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import ShardId
from gossipnode.core.session.commands import (
    Finish,
    HalfClose,
    ReadIndex,
    ReconcileCommand,
    Send,
    SessionEnd,
)
from gossipnode.core.session.intake import Intake
from gossipnode.core.session.reconcile.item_index import FAN_OUT, ItemIndex
from gossipnode.core.session.reconcile.reconcile_dues import (
    AnswerDue,
)
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    Opening,
    OpeningVerdict,
    Question,
    ReconcileMessage,
    ReconcileStanding,
    Sums,
)
from gossipnode.core.session.reconcile.reconcile_side import ReconcileSide
from gossipnode.core.session.reconcile.reconcile_walk import (
    short_sums,
)


class ReconcileClient(ReconcileSide):
    """One reconcile session, on the client's side."""

    def __init__(
        self,
        shard: ShardId,
        shards: int,
        index: ItemIndex,
        *,
        tree_root: str | None = None,
        stamp_max: int = STAMP_MAX_NANOSECONDS,
    ) -> None:
        """Compare `index` with that of the server; the group of `shard` has `shards` shards.

        `tree_root` is the root of our own tree, if that is known.
        """
        super().__init__(Intake({shard.group: shards}, stamp_max=stamp_max, shard=shard))
        self._index = index
        self._changes_before = index.changes
        self._closings: list[Closing] = []
        """Ours and that of the server."""
        self._unanswered = 1
        """Questions that we have asked. The opening is one."""
        self._verdict: ReconcileStanding | None = None
        self._closing = False
        self._half_closed = False
        sums = tuple(short_sums(index, 0, 0, 1))
        check = index.item_hash.check
        self._said.append(
            Opening(shard.group, shard.shard, check, index.root, index.count, sums, tree_root or "")
        )

    def peer_ended(self) -> None:
        """Note that the server has ended the stream.

        Raises:
            SessionViolationError: it has not said all that it must say.
        """
        if self._verdict in (None, ReconcileStanding.DIFFERS) and not self._closed:
            raise SessionViolationError("the server ended the session before its closing")

    @property
    def _is_open(self) -> bool:
        return self._verdict is ReconcileStanding.DIFFERS

    def _begin(self, message: Opening | OpeningVerdict) -> None:
        if self._verdict is not None or not isinstance(message, OpeningVerdict):
            raise not_expected(message)
        self._verdict = message.standing

    def _take_end(self, message: Answered | Closing) -> None:
        if isinstance(message, Answered) and 0 < message.questions <= self._unanswered:
            self._unanswered -= message.questions
        elif isinstance(message, Closing) and self._closing and not self._closed:
            self._closed = True
            self._closings.append(message)
        else:
            raise not_expected(message)

    @property
    def _may_say(self) -> bool:
        return not self._closing

    def _say(self, messages: Iterable[ReconcileMessage]) -> None:
        messages = list(messages)
        self._unanswered += len(messages)
        super()._say(messages)

    def _at_rest(self) -> ReconcileCommand | None:
        if self._over or self._verdict is None:
            return None
        if self._verdict is not ReconcileStanding.DIFFERS:
            return self._finish(_ENDS[self._verdict])
        if not self._closing:
            if self._unanswered or not self._intake.durable:
                return None
            self._closing = True
            self._closings.append(self._closing_now())
            return Send((self._closings[0],))
        if not self._half_closed:
            self._half_closed = True
            return HalfClose()
        if not self._closed or not self._intake.durable:
            return None
        ours, theirs = self._closings
        differs = ours.settled and theirs.settled and ours.root != theirs.root
        return self._finish(SessionEnd.STILL_DIFFERS if differs else SessionEnd.REPAIRED)


class ReconcileServer(ReconcileSide):
    """One reconcile session, on the server's side."""

    def __init__(self, groups: Mapping[str, int], *, stamp_max: int = STAMP_MAX_NANOSECONDS) -> None:
        """Serve the groups of `groups`, which maps each to its number of shards."""
        super().__init__(Intake(groups, stamp_max=stamp_max))
        self.found_equal = False
        """Whether the roots were found to be equal: then it does not matter how the client leaves."""
        self._opening: Opening | None = None
        self._reading = False
        self._closing = False

    @property
    def _may_say(self) -> bool:
        return not self._closing

    def peer_ended(self) -> None:
        """Note that the client has ended its half of the stream.

        Raises:
            SessionViolationError: it has not said all that it must say.
        """
        if not self._closed and not self._over:
            raise SessionViolationError("the client ended the session before its closing")

    @property
    def _is_open(self) -> bool:
        return self._index is not None

    def _begin(self, message: Opening | OpeningVerdict) -> None:
        if self._opening is not None or not isinstance(message, Opening):
            raise not_expected(message)
        self._opening = message
        self._intake.shard = ShardId(message.group, message.shard)

    def _take_end(self, message: Answered | Closing) -> None:
        if self._closed or not isinstance(message, Closing):
            raise not_expected(message)
        self._closed = True

    def index_read(self, index: ItemIndex | None, tree_root: str | None = None) -> tuple[Send | Finish, ...]:
        """See `ReconcileSide.index_read`."""
        assert self._opening is not None, "no index was asked for"
        opening = self._opening
        if index is None:
            return Send((OpeningVerdict(ReconcileStanding.NO_SHARD),)), self._finish(SessionEnd.NO_TREE)
        if opening.key_check != index.item_hash.check:
            return Send((OpeningVerdict(ReconcileStanding.OTHER_KEY),)), self._finish(SessionEnd.OTHER_KEY)
        if (opening.root, opening.count) == (index.root, index.count):
            if opening.tree_root and tree_root and opening.tree_root != tree_root:
                return Send((OpeningVerdict(ReconcileStanding.OTHER_TREE),)), self._finish(
                    SessionEnd.OTHER_TREE
                )
            self.found_equal = True
            return Send((OpeningVerdict(ReconcileStanding.EQUAL, index.root),)), self._finish(
                SessionEnd.EQUAL
            )
        if len(opening.sums) != FAN_OUT:
            raise SessionViolationError(f"opening: expected {FAN_OUT} sums")
        self._index = index
        self._changes_before = index.changes
        self._said.append(OpeningVerdict(ReconcileStanding.DIFFERS, index.root, index.count))
        self._answer(Sums(0, (0,), 1, opening.sums))
        return ()

    def _answer(self, question: Question) -> None:
        super()._answer(question)
        self._dues.append(AnswerDue())

    def _at_rest(self) -> ReconcileCommand | None:
        if self._opening is not None and not self._reading:
            self._reading = True
            assert self.shard is not None
            return ReadIndex(self.shard)
        if self._over or not self._closed or not self._intake.durable:
            return None
        if not self._closing:
            self._closing = True
            return Send((self._closing_now(),))
        return self._finish(SessionEnd.REPAIRED)


_ENDS = {
    ReconcileStanding.EQUAL: SessionEnd.EQUAL,
    ReconcileStanding.NO_SHARD: SessionEnd.NO_TREE,
    ReconcileStanding.OTHER_KEY: SessionEnd.OTHER_KEY,
    ReconcileStanding.OTHER_TREE: SessionEnd.OTHER_TREE,
}


def not_expected(message: ReconcileMessage) -> SessionViolationError:
    """The error for a message at the wrong time."""
    return SessionViolationError(f"{type(message).__name__} is not expected now")
