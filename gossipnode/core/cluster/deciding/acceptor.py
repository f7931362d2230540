"""The acceptor of epochs: what a voter promises, accepts and knows to be decided.

Two values for one epoch are excluded by this module and `proposer.py` alone, as long as their callers keep
the duties that the docstrings name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic

from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    Prepare,
    Promise,
    Refused,
    Reply,
    Request,
    Stranger,
    V,
)


@dataclass(frozen=True, slots=True)
class AcceptorState(Generic[V]):
    """All that a voter remembers. A store keeps one of these, as a whole.

    What the caller owes:

    - A state that `answer` returns is durable before the reply is sent.
    - A state that `adopt` returns is durable before anything is done or answered under the adopted epoch.
    - The acceptor of a store has one state, and each call gets the state that the last one returned. After a
      crash that is the durable state.
    - A store that lost its state, or came back with an older one, does not go on under the same birth. Once a
      store has been made for a name with another birth, no earlier birth of that name answers any more.
    """

    birth: int
    """The birth of the store. Messages to another birth are not for this voter."""
    decided: V | None = None
    """The value of the newest epoch that it knows to be decided."""
    promised: Ballot = NO_BALLOT
    """The highest ballot that it promised or accepted in the present instance."""
    accepted: tuple[Ballot, V] | None = None
    """The last value that it accepted in the present instance, with its ballot."""

    @property
    def instance(self) -> int:
        """The instance that the promise and the accepted value belong to: the number of the decided epoch.

        It is 0 while no epoch is known.
        """
        return 0 if self.decided is None else self.decided.epoch


def answer(state: AcceptorState[V], message: Request[V]) -> tuple[AcceptorState[V], Reply[V]]:
    """Answer a proposer. The new state is durable before the reply is sent, or the reply is not sent.

    Whether a change is wise is not judged here. In instance 0 the caller judges an `Accept` beforehand:
    names, births, addresses and groups of the value are those of its own configuration, where the birth of
    a name is the one of the store that answers under it now. The cluster of a message is not compared in
    instance 0, since a cluster has its number only from the first epoch on. A voter that has an epoch makes
    it known to any store that would form a cluster with it.
    """
    reason = _not_meant_for(state, message)
    if reason:
        return state, Stranger(reason)
    if message.instance > state.instance:
        return state, Behind(state.instance)
    if state.decided is not None and message.instance < state.instance:
        return state, DecidedAlready(state.decided)
    if message.ballot < state.promised:
        return state, Refused(state.promised)
    if isinstance(message, Prepare):
        return replace(state, promised=message.ballot), Promise(message.ballot, state.accepted)
    reason = _cannot_follow(state, message)
    if reason:
        return state, Stranger(reason)
    accepted = (message.ballot, message.value)
    return replace(state, promised=message.ballot, accepted=accepted), Accepted(message.ballot)


def _not_meant_for(state: AcceptorState[V], message: Request[V]) -> str:
    """Why a message is for somebody else; "" when it is for this voter."""
    if message.birth != state.birth:
        return "the message is for another store of this name"
    if state.decided is None or message.instance == 0:
        return ""
    if message.cluster_id != state.decided.cluster_id:
        return "the message is of another cluster"
    return ""


def _cannot_follow(state: AcceptorState[V], message: Accept[V]) -> str:
    """Why a value cannot be what the present instance decides; "" when it can."""
    value = message.value
    if value.epoch != message.instance + 1:
        return f"instance {message.instance} cannot decide epoch {value.epoch}"
    if state.decided is None:
        # Nobody accepts a first epoch that it is no member of: that all of its members accepted it is what
        # decides it.
        if state.birth not in value.voters.values():
            return "the first epoch does not name this store"
    elif value.cluster_id != state.decided.cluster_id:
        return "the value is of another cluster"
    return ""


def adopt(state: AcceptorState[V], value: V, *, teller: int = 0) -> AcceptorState[V]:
    """The state after learning that `value` is decided. It is `state` itself when the value is not adopted.

    The same step gives up the promise and the accepted value, which belong to the instance before. The new
    state is durable before anything is done or answered under the new epoch.

    A newer epoch of the same cluster is adopted. A store without an epoch adopts any, with one exception:
    if it has accepted a first epoch of another cluster, then it adopts this one only if a voter of that
    other one says that it has adopted this one itself. Otherwise a late message could undo what
    `dead_first_epoch` in `proposer.py` allows: a store that accepted v and then w, because a voter of v
    lost its store, must not adopt v any more, since w may be decided. And a voter of w that has adopted v
    had not accepted w before, and does not accept it afterwards, so w is never decided.

    Before the first epoch is adopted the caller checks that it names this birth, or that an operator let
    this store join. What the own attempt decided may be announced only once it is adopted here.

    Args:
        state: what the voter remembers. value: the value of an epoch that is decided. teller: the birth of
        the member that says it has adopted the value; 0 if this store's own attempt had
            it decided.
    """
    if state.decided is not None:
        newer = value.cluster_id == state.decided.cluster_id and value.epoch > state.decided.epoch
        return AcceptorState(state.birth, value) if newer else state
    if state.accepted is not None:
        _, accepted = state.accepted
        proven = teller != state.birth and teller in accepted.voters.values()
        if value.cluster_id != accepted.cluster_id and not proven:
            return state
    return AcceptorState(state.birth, value)
