"""Random courses of changes, writes and fills: no acknowledged write is lost unless somebody accepted it.

The model knows which stores hold which writes. A write is at a quorum of each set of replicas of the moment.
A new replica copies from as few sources as it may, and what it filled it remembers by the fence alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Identity
from gossipnode.core.cluster.placement import AckLevel, Placement, majority
from gossipnode.core.cluster.rankings import Rankings
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import drop, formed, member, replace_member, settle
from tests.core.support import examples

NAMES = "abcdef"
GROUPS = "gh"


names = st.sampled_from(NAMES)
picks = st.randoms(use_true_random=False)
"""Chance for what there are many of: which replicas answer, which sources are copied from."""


class ChangesMachine(RuleBasedStateMachine):
    """A cluster of which each member that is up takes part in everything at once."""

    replicas_at_first: ClassVar[tuple[int, ...]] = (3, 2)

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(GROUPS, self.replicas_at_first, strict=True)
        groups = [Group(name, shards=2, replicas=replicas) for name, replicas in sizes]
        self.value = formed("abc", *groups)
        self.births = 0
        self.gone: list[Identity] = []
        self.held: dict[tuple[Identity, ShardId], set[int]] = defaultdict(set)
        self.acknowledged: dict[ShardId, set[int]] = defaultdict(set)
        self.filled: dict[tuple[Identity, ShardId], bytes] = {}
        self.writes = 0
        self.seen = self.seen_seldom = ClusterView(self.value)

    # --- data ---

    @rule(number=st.integers(0, 3), random=picks)
    def write(self, number: int, random: Random) -> None:
        """A write is acknowledged by as few replicas as may be."""
        placement = self._some_placement(number)
        if placement is None:
            return
        took = {*placement.holders}
        quorums = placement.quorums(AckLevel.QUORUM)
        for name in random.sample(placement.holders, len(placement.holders)):
            if all(len(quorum.among & (took - {name})) >= quorum.needed for quorum in quorums):
                took.remove(name)
        if any(len(quorum.among & took) < quorum.needed for quorum in quorums):
            return
        self.writes += 1
        self.acknowledged[placement.shard].add(self.writes)
        for name in took:
            self._holds(name, placement.shard).add(self.writes)

    @rule(random=picks, most=st.integers(1, 4))
    def fill(self, random: Random, most: int) -> None:
        """Some replicas copy from as many sources as they have to."""
        for placement in self._placements():
            for name in placement.filling[:most]:
                own = self.value.members[name].identity
                if self.filled.get((own, placement.shard)) == placement.fence:
                    continue
                others = [source for source in placement.sources if source != name]
                for source in random.sample(others, placement.copies_needed(name)):
                    self._holds(name, placement.shard).update(self._holds(source, placement.shard))
                self.filled[own, placement.shard] = placement.fence

    @rule(most=st.integers(1, 4))
    def settle(self, most: int) -> None:
        """What every new replica says it has filled is settled; what nobody has filled is not."""
        ready = [each for each in self._placements() if self._is_filled(each)][:most]
        stale = [(each.shard, b"of another") for each in self._placements()]
        moving = {*self.value.unsettled_shards()}
        after = settle(self.value, [*stale, *((each.shard, each.fence) for each in ready)])
        settled = moving & {each.shard for each in ready}
        assert {*after.unsettled_shards()} == moving - settled
        assert (after is self.value) == (not settled)
        self._becomes(after)

    @rule(names=st.sets(names))
    def give_up(self, names: set[str]) -> None:
        """Members that hold no copy of a shard any more drop theirs."""
        for placement in self._placements():
            for name in self.value.members.keys() & names:
                if not placement.moving and name not in placement.holders:
                    self._holds(name, placement.shard).clear()

    # --- members ---

    @rule(name=names)
    def join(self, name: str) -> None:
        known = self.value.members.get(name)
        self.births += 1
        if known is None:
            self._becomes(changes.join(self.value, member(name, self.births)))
            assert name not in self.value.forgotten
        else:
            self._refused(lambda: changes.join(self.value, member(name, self.births)), known.address)
            assert changes.join(self.value, known) is self.value

    @precondition(lambda self: bool(self.gone))
    @rule(data=st.data())
    def join_again(self, data: st.DataObject) -> None:
        """A store that was dropped comes back with all that it had, and the notes of what it filled."""
        old = data.draw(st.sampled_from(self.gone))
        if old.name in self.value.members:
            return
        again = member(old.name, old.birth)
        if any(old in layout.members for layout in self.value.layouts):
            self._refused(lambda: changes.join(self.value, again), "shards still lie by it")
        else:
            self._becomes(changes.join(self.value, again))
            self.gone.remove(old)

    @rule(name=names, accept_loss=st.booleans())
    def replace_member(self, name: str, accept_loss: bool) -> None:
        known = self.value.members.get(name)
        self.births += 1
        newcomer = member(name, self.births)

        def change() -> ClusterMetadata:
            return replace_member(self.value, newcomer, accept_loss=accept_loss)

        if known is None:
            self._refused(change, f"no member {name!r}")
        else:
            self._goes(known.identity, change, "replaced", accept_loss=accept_loss)

    @rule(name=names, accept_loss=st.booleans(), force=st.booleans())
    def drop(self, name: str, accept_loss: bool, force: bool) -> None:
        known = self.value.members.get(name)

        def change() -> ClusterMetadata:
            return drop(self.value, name, accept_loss=accept_loss, force=force)

        if known is None and name in self.value.forgotten:
            assert change() is self.value
        elif known is None:
            self._refused(change, f"no member {name!r}")
        elif not known.leaving and self._too_few_without(name, force=force):
            self._refused(change, name)
        else:
            self._goes(known.identity, change, "dropped", accept_loss=accept_loss)
            assert (name in self.value.members) != (name in self.value.forgotten)

    @rule(name=names, force=st.booleans())
    def leave(self, name: str, force: bool) -> None:
        known = self.value.members.get(name)

        def change() -> ClusterMetadata:
            return changes.leave(self.value, name, force=force)

        if known is None:
            self._refused(change, f"no member {name!r}")
        elif known.leaving:
            assert change() is self.value
        elif self._too_few_without(name, force=force):
            self._refused(change, name)
        else:
            self._becomes(change())

    # --- groups ---

    @rule(name=st.sampled_from(GROUPS), replicas=st.integers(1, 5), force=st.booleans())
    def make_or_alter(self, name: str, replicas: int, force: bool) -> None:
        known = self.value.groups.get(name)

        def change() -> ClusterMetadata:
            if known is None:
                return changes.create_group(self.value, Group(name, 2, replicas), force=force)
            return changes.alter_group(
                self.value, name, lambda group: replace(group, replicas=replicas), force=force
            )

        if known is not None and known.replicas == replicas:
            assert change() is self.value
        elif (
            (known is None or known.replicas < replicas)
            and not force
            and replicas > len(self.value.layouts[-1].members)
        ):
            self._refused(change, f"{replicas} replicas")
        else:
            self._becomes(change())
            assert self.value.groups[name].replicas == replicas

    @rule(name=st.sampled_from(GROUPS))
    def delete_group(self, name: str) -> None:
        if name in self.value.groups:
            self._becomes(changes.delete_group(self.value, name))
        else:
            self._refused(lambda: changes.delete_group(self.value, name), name)

    # --- what always holds ---

    @invariant()
    def all_shards_go_to_where_the_members_are_that_stay(self) -> None:
        value = self.value
        staying = tuple(each.identity for each in value.members.values() if not each.leaving)
        assert staying
        assert value.layouts[-1].members == staying
        assert list(value.members) == sorted(value.members)
        assert not value.layouts[-1].replicas

    @invariant()
    def no_layout_is_kept_that_no_shard_lies_by(self) -> None:
        value, last = self.value, len(self.value.layouts) - 1
        assert {last, *(index for each in value.lies.values() for index in each)} == {*range(last + 1)}
        assert all({*each} != {last} for each in value.lies.values())
        assert value.is_settled == (not list(value.unsettled_shards()))

    @invariant()
    def each_acknowledged_write_is_at_one_of_any_sources_needed(self) -> None:
        for placement in self._placements():
            assert placement.sources_needed > 0, placement
            for lacking in self._lacking(placement):
                assert len(lacking & {*placement.sources}) < placement.sources_needed, placement

    @invariant()
    def each_acknowledged_write_is_met_by_every_quorum_read(self) -> None:
        for placement in self._placements():
            for lacking in self._lacking(placement):
                quorums = placement.quorums(AckLevel.QUORUM, reading=True)
                missed = all(len(quorum.among & lacking) >= quorum.needed for quorum in quorums)
                assert not missed, placement

    @invariant()
    def a_view_has_the_placements_that_the_value_gives(self) -> None:
        """Whatever is remembered of earlier epochs, and whichever of them were looked at."""
        if self.value.epoch % 3 == 0 and self.value is not self.seen_seldom.metadata:
            self.seen_seldom = ClusterView(self.value, before=self.seen_seldom)
        forgetful = replace(self.value, rankings=Rankings())
        for shard in self.value.shards():
            placement = forgetful.place(shard)
            assert self.seen.placement(shard) == placement
            if self.value is self.seen_seldom.metadata and (shard.shard + self.value.epoch) % 2:
                assert self.seen_seldom.placement(shard) == placement

    # --- what they share ---

    def _placements(self) -> list[Placement]:
        return [self.value.place(shard) for shard in self.value.shards()]

    def _some_placement(self, number: int) -> Placement | None:
        placements = self._placements()
        return placements[number % len(placements)] if placements else None

    def _holds(self, name: str, shard: ShardId) -> set[int]:
        return self.held[self.value.members[name].identity, shard]

    def _lacking(self, placement: Placement) -> Iterable[set[str]]:
        """For each acknowledged write, the holders that lack it."""
        for write in self.acknowledged[placement.shard]:
            yield {name for name in placement.holders if write not in self._holds(name, placement.shard)}

    def _is_filled(self, placement: Placement) -> bool:
        return all(
            self.filled.get((self.value.members[name].identity, placement.shard)) == placement.fence
            for name in placement.filling
        )

    def _becomes(self, after: ClusterMetadata) -> None:
        """An epoch rises by one exactly when something changes."""
        if after is not self.value:
            assert after.epoch == self.value.epoch + 1
            assert replace(after, epoch=self.value.epoch) != self.value
        assert (after.cluster_id, after.key) == (self.value.cluster_id, self.value.key)
        self.value = after
        self.seen = ClusterView(after, before=self.seen)

    def _refused(self, change: Callable[[], object], why: str) -> None:
        with pytest.raises(ChangeRefusedError, match=re.escape(why)):
            change()

    def _too_few_without(self, name: str, *, force: bool) -> bool:
        staying = [each for each in self.value.members.values() if not each.leaving and each.name != name]
        crosses = any(len(staying) == majority(each.replicas) - 1 for each in self.value.groups.values())
        return not staying or (crosses and not force)

    def _goes(
        self, old: Identity, change: Callable[[], ClusterMetadata], how: str, *, accept_loss: bool
    ) -> None:
        """A store goes for good, unless fewer sources stay than acknowledged writes need."""
        lost: list[Placement] = []
        for placement in self._placements():
            quorum = majority(placement.replicas_before)
            least = max(1, len(placement.settled) - quorum + 1)
            if old.name in placement.sources and len(placement.sources) - 1 < least:
                lost.append(placement)
        if lost and not accept_loss:
            self._refused(change, f"{old.name} cannot be {how} without losing acknowledged writes")
            self._refused(change, str(lost[0].shard))
            return
        self._becomes(change())
        self.gone.append(old)
        for each in lost:
            # Loss was accepted of what was acknowledged until now, and of nothing that comes after.
            self.acknowledged[each.shard].clear()


class SingleCopiesMachine(ChangesMachine):
    """As above, from groups that have one copy of each record."""

    replicas_at_first: ClassVar[tuple[int, ...]] = (1, 1)


TestChanges = pytest.mark.slow(ChangesMachine.TestCase)
TestChanges.settings = examples(60, steps=40)
TestSingleCopies = pytest.mark.slow(SingleCopiesMachine.TestCase)
TestSingleCopies.settings = examples(60, steps=40)
