"""Orders of events that would let two values be decided for one epoch, each if one safeguard were missing.

Random moves seldom find them: each needs several messages to be late at once.
"""

from __future__ import annotations

from itertools import count

from tests.core.cluster.epochs.epoch_world import CONFIGURED, Answer, Ask, Tell, Value, World


class Story:
    """A world of three configured nodes in which every message is sent by hand."""

    def __init__(self, *, formed: bool) -> None:
        self.world = World()
        self.late: list[Answer] = []
        self._nonces = count(1)
        if formed:
            births = {name: self.world.stores[name].birth for name in CONFIGURED}
            self.world.begin_with(Value(1, b"ours", births))
        self.all_hear()

    def all_hear(self) -> None:
        for hearer in CONFIGURED:
            for speaker in CONFIGURED:
                self.world.hear(hearer, speaker)

    def attempt(self, name: str) -> int:
        """Let a node propose a value that is named after it. Returns the number of the attempt."""
        store = self.world.stores[name]
        voters = store.voters()
        assert voters is not None
        decided = store.state.decided
        value = Value(1, name.encode(), voters) if decided is None else Value(2, b"ours", voters, name)
        number = self.world.propose(name, value, next(self._nonces))
        assert number is not None
        return number

    def ask(self, name: str, number: int, voters: str, *, late: bool = False) -> None:
        """Send what the attempt of a node asks of voters. Their replies come at once, or with `all_late`."""
        store = self.world.stores[name]
        for voter in voters:
            asked = self.world.stores[voter]
            self.world.deliver(Ask(store.birth, number, voter, store.attempts[number].requests()[voter]))
            replies = list(asked.outbox)
            self.world.sync(asked)
            self.late += replies
            if not late:
                self.all_late()

    def all_late(self) -> None:
        while self.late:
            self.world.deliver(self.late.pop(0))
        self.world.check()

    def text(self, name: str) -> str:
        decided = self.world.stores[name].state.decided
        assert decided is not None
        return decided.text


def test_of_two_accepted_values_the_one_with_the_higher_ballot_may_be_decided() -> None:
    story = Story(formed=True)
    first = story.attempt("a")
    story.ask("a", first, "ab")
    story.ask("a", first, "a")
    second = story.attempt("b")
    story.ask("b", second, "bc")
    story.ask("b", second, "bc", late=True)
    late, story.late = story.late, []
    third = story.attempt("c")
    story.ask("c", third, "ab")
    story.ask("c", third, "ab")
    assert story.text("c") == "b"
    story.late = late
    story.all_late()
    assert story.text("b") == "b"


def test_who_accepted_without_a_promise_accepts_nothing_lower_afterwards() -> None:
    story = Story(formed=True)
    first = story.attempt("a")
    story.ask("a", first, "ab")
    second = story.attempt("b")
    story.ask("b", second, "bc")
    story.ask("b", second, "ab", late=True)
    late, story.late = story.late, []
    story.ask("a", first, "a")
    third = story.attempt("c")
    story.ask("c", third, "ca")
    story.ask("c", third, "ca")
    assert story.text("c") == "b"
    story.late = late
    story.all_late()
    assert story.text("b") == "b"


def test_a_first_epoch_that_was_replaced_is_not_adopted_by_a_late_message() -> None:
    """The store of c is lost once it had an epoch decided. Its word comes after another one is decided."""
    story = Story(formed=False)
    first = story.attempt("c")
    story.ask("c", first, CONFIGURED)
    story.ask("c", first, CONFIGURED)
    lost = story.world.stores["c"]
    assert lost.state.decided is not None
    word = Tell("b", lost.birth, lost.state.decided)
    story.world.make_store("c")
    story.all_hear()
    second = story.attempt("a")
    story.ask("a", second, CONFIGURED)
    story.ask("a", second, CONFIGURED)
    decided = story.world.stores["a"].state.decided
    assert decided is not None
    assert decided.cluster_id == b"a"
    story.world.deliver(word)
    story.world.check()
    story.world.deliver(Tell("b", story.world.stores["a"].birth, decided))
    assert story.world.stores["b"].state.decided == decided
