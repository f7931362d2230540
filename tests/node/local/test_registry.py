"""The registry of a node: what it takes, what it notices when definitions meet, and how it tells of it."""

from __future__ import annotations

import structlog.testing

from gossipnode.core.cluster.registry_records import (
    SEED_REVISION,
    SETTLED_ENTITY,
    group_entity,
    member_entity,
)
from gossipnode.core.cluster.view import SYSTEM_SHARD, Group
from gossipnode.node.local.registry import (
    REGISTRY_PAGE_RECORDS,
    Registry,
    configured_groups,
    configured_records,
)
from gossipnode.sim import Cluster
from gossipnode.store.memory import MemoryStore
from tests.node.members_and_groups import group, member, tombstone
from tests.node.support import memory_store
from tests.records import bare_record


async def registry(store: MemoryStore | None = None, **groups: Group) -> Registry:
    made = Registry(store or memory_store(), groups)
    await made.load()
    return made


async def test_a_registry_is_read_whole_from_the_store() -> None:
    store = memory_store()
    names = [f"n{number:04}" for number in range(REGISTRY_PAGE_RECORDS + 5)]
    await store.write([(SYSTEM_SHARD, member(name)) for name in names])
    known = await registry(store)
    assert list(known.view.members) == names
    assert [each.entity.id for each in known.records()] == names
    assert known.view.is_settled


async def test_equal_records_have_one_root_whatever_their_order() -> None:
    records = [member("a"), member("b", birth=4), group("g"), tombstone(member_entity("c"), 9)]
    one, two = await registry(), await registry()
    one.took(records)
    for each in reversed(records):
        two.took([each])
    assert one.root == two.root
    assert one.view == two.view
    two.took([member("a", 3)])
    assert one.root != two.root


async def test_the_newest_record_counts_in_whatever_order_they_come() -> None:
    known = await registry()
    known.took([member("a", 5, address="new:1"), member("a", 4, address="old:1")])
    known.took([member("a", 3, address="older:1")])
    assert known.view.members["a"].address == "new:1"
    held = known.record(member_entity("a"))
    assert held is not None
    assert held.version.mod_revision == 5


async def test_who_waits_hears_of_each_change_and_of_nothing_else() -> None:
    known = await registry()
    waiting = known.changed.pending
    known.took([member("a", 5)])
    assert waiting.is_set()
    waiting = known.changed.pending
    known.took([member("a", 5), member("a", 4)])
    known.took([])
    assert not waiting.is_set()
    assert known.changed.pending is waiting


async def test_seeds_are_for_what_nothing_is_known_of() -> None:
    store = memory_store()
    known = await registry(store)
    known.took([member("a", 5, address="moved:1")])
    await known.seed([member("a", SEED_REVISION), member("b", SEED_REVISION)])
    assert known.view.members["a"].address == "moved:1"
    assert list(known.view.members) == ["a", "b"]
    assert [each.entity.id for each in await store.scan(SYSTEM_SHARD, limit=9)] == ["b"]
    again = await registry(store)
    await again.seed([member("b", SEED_REVISION)])
    assert list(again.view.members) == ["b"]


async def test_a_forgotten_member_is_not_seeded_again() -> None:
    known = await registry()
    known.took([tombstone(member_entity("b"), 9)])
    await known.seed([member("a", SEED_REVISION), member("b", SEED_REVISION)])
    assert list(known.view.members) == ["a"]
    assert known.view.forgotten == {"b"}


def test_nodes_of_one_configuration_have_the_same_seeds() -> None:
    cluster = Cluster(groups=("sw:4:2",))
    seeds = [configured_records(cluster.settings(name)) for name in "abc"]
    assert seeds[0] == seeds[1] == seeds[2]
    assert [each.entity for each in seeds[0]] == [
        *map(member_entity, "abc"),
        group_entity("sw"),
        SETTLED_ENTITY,
    ]
    assert {each.version.mod_revision for each in seeds[0]} == {SEED_REVISION}
    assert configured_groups(cluster.settings("a"))["sw"] == Group("sw", shards=4, replicas=2)


# --- what is noticed ---


async def test_a_member_that_lost_its_store_is_noticed() -> None:
    known = await registry()
    known.took([member("a", 2, birth=10), member("b", 2, birth=10)])
    known.took([member("a", 3, birth=11), member("b", 3, birth=10, address="y:1")])
    assert known.reborn == {"a"}


async def test_a_member_that_says_itself_that_it_joined_again_is_not() -> None:
    known = await registry()
    known.took([member("a", 2, birth=10)])
    known.took([member("a", 3, birth=11, joined=7)])
    assert known.reborn == set()


async def test_a_group_that_was_made_twice_is_told_of_once() -> None:
    known = await registry()
    with structlog.testing.capture_logs() as logs:
        known.took([group("g", 5, incarnation=4)])
        known.took([group("g", 7, incarnation=6)])
        known.took([group("g", 8, incarnation=6)])
        known.took([group("g", 5, incarnation=4)])
    (warning,) = logs
    assert (warning["log_level"], warning["group"], warning["lost"], warning["won"]) == ("warning", "g", 4, 6)
    assert known.view.groups["g"].incarnation == 6


async def test_a_group_that_is_altered_or_follows_its_deletion_is_nothing_to_tell() -> None:
    known = await registry()
    with structlog.testing.capture_logs() as logs:
        known.took([group("g", 5, incarnation=4), group("g", 6, incarnation=4)])
        known.took([group("g", 9, incarnation=8, follows=7)])
    assert logs == []
    assert known.unaware == set()


async def test_a_definition_that_ignores_a_deletion_is_corrected() -> None:
    known = await registry()
    known.took([tombstone(group_entity("g"), 6)])
    known.took([group("g", 8, incarnation=7)])
    assert known.unaware == {"g"}
    assert known.view.groups["g"].follows == 6
    known.took([tombstone(group_entity("h"), 6)])
    known.took([group("h", 8, incarnation=7, follows=6)])
    assert known.unaware == {"g"}


async def test_a_record_that_cannot_be_read_is_left_out_with_a_word() -> None:
    known = await registry()
    broken = bare_record(member_entity("a"), b"\x1a\x04\x0a\x10ab", revision=3)
    with structlog.testing.capture_logs() as logs:
        known.took([broken, member("b")])
    assert list(known.view.members) == ["b"]
    assert [log["event"] for log in logs] == ["registry record left out"]
