"""What can happen to stores that decide epochs, one move at a time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from tests.core.cluster.epochs.epoch_world import CONFIGURED, Ask, Store, Value, World

STORES_LOST_MAX = 2


class Moves:
    """A world, and the moves that it is made of."""

    def __init__(self, formed: str = "") -> None:
        """Begin with all configured nodes in touch, and with a first epoch of the names `formed` if any."""
        self.world = World()
        self._serial = count(1)
        self._lost = 0
        if formed:
            births = {name: self.world.stores[name].birth for name in formed}
            self.world.begin_with(Value(1, b"first", births))
        for hearer in CONFIGURED:
            for speaker in CONFIGURED:
                self.world.hear(hearer, speaker)
        self.world.mail.clear()

    def propose(self, name: str, change: str, other: str, luck: int, order: Iterable[int]) -> None:
        """Start an attempt. Some of its messages travel at once; all others may come later, or never.

        Its nonce was never used, and is above or below those of others by luck.
        """
        store = self.world.stores[name]
        voters = store.voters()
        if voters is None:
            return
        serial = next(self._serial)
        decided = store.state.decided
        if decided is None:
            value = Value(1, b"cluster %d" % serial, voters)
        else:
            voters = changed(voters, change, other, self.world.stores[other].birth)
            value = Value(decided.epoch + 1, decided.cluster_id, voters, f"change {serial}")
        number = self.world.propose(name, value, luck * 1_000_000 + serial)
        if number is not None:
            self._exchange(store, number, order)

    def go_on(self, which: int, order: Iterable[int]) -> None:
        """An attempt that was begun before goes on, and some of its messages travel at once."""
        stores = self.world.stores.values()
        running = sorted((number, store.name) for store in stores for number in store.attempts)
        if running:
            number, name = running[-1 - which % len(running)]
            self._exchange(self.world.stores[name], number, order)

    def deliver(self, place: int, keep: bool) -> None:
        """A message arrives, and may be kept to arrive again."""
        mail = self.world.mail
        if mail:
            place = -1 - place % len(mail)
            letter = mail[place] if keep else mail.pop(place)
            self.world.deliver(letter)

    def sync(self, name: str) -> None:
        self.world.sync(self.world.stores[name])

    def crash(self, name: str) -> None:
        self.world.crash(name)

    def hear(self, hearer: str, speaker: str) -> None:
        self.world.hear(hearer, speaker)

    def lose_store(self, name: str) -> None:
        if self._lost < STORES_LOST_MAX:
            self._lost += 1
            self.world.make_store(name)

    def _exchange(self, store: Store, number: int, order: Iterable[int]) -> None:
        """Some requests of an attempt, each with its commit and its reply at once, in the order given."""
        attempt = store.attempts[number]
        for nth in order:
            requests = attempt.requests()
            if not requests:
                return
            voter = sorted(requests)[nth % len(requests)]
            ask = Ask(store.birth, number, voter, requests[voter])
            self.world.deliver(ask)
            asked = self.world.stores[voter]
            replies = [letter for letter in asked.outbox if letter.ask is ask]
            self.world.sync(asked)
            for letter in replies:
                self.world.deliver(letter)


def changed(voters: dict[str, int], change: str, other: str, birth: int) -> dict[str, int]:
    """The members after one of them joined, was dropped, or came with another store."""
    if change == "drop" and len(voters) > 1:
        return {name: known for name, known in voters.items() if name != other}
    if change == "join" or (change == "replace" and other in voters):
        return {**voters, other: birth}
    return voters
