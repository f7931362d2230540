"""What is kept beside records, by every store. SQLite and its twin in memory pass the same tests."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity
from gossipnode.store import interface, memory_lineages
from gossipnode.store.memory_shard import by_slot
from gossipnode.store.sqlite.tables import lineage_rows
from tests.records import bare_record
from tests.store.support import OTHER_SHARD, SHARD, Handle, placed

ONE = bare_record("n/1", b"one", revision=5)


async def kept(handle: Handle, entity: Entity = ONE.entity) -> bytes:
    return await handle.store.lineages.of(SHARD, entity)


async def test_it_is_kept_with_the_record_and_outlives_a_restart(handle: Handle) -> None:
    assert await kept(handle) == b""
    await handle.store.write(placed(ONE, bare_record("n/2")), lineages=[b"first", b""])
    for _ in range(2):
        assert await kept(handle) == b"first"
        assert await kept(handle, bare_record("n/2").entity) == b""
        assert await handle.store.lineages.of(OTHER_SHARD, ONE.entity) == b""
        await handle.restart()


async def test_a_write_that_says_nothing_of_it_leaves_it(handle: Handle) -> None:
    await handle.store.write(placed(ONE), lineages=[b"first"])
    await handle.store.write(placed(bare_record("n/1", b"newer", revision=6)))
    assert await kept(handle) == b"first"


async def test_it_changes_with_a_newer_version_and_with_an_equal_one(handle: Handle) -> None:
    await handle.store.write(placed(ONE), lineages=[b"first"])
    await handle.store.write(placed(bare_record("n/1", b"newer", revision=6)), lineages=[b"second"])
    assert await kept(handle) == b"second"
    await handle.store.write(placed(bare_record("n/1", b"newer", revision=6)), lineages=[b"third"])
    assert await kept(handle) == b"third"
    await handle.restart()
    assert await kept(handle) == b"third"


async def test_an_older_version_does_not_bring_its_own(handle: Handle) -> None:
    await handle.store.write(placed(ONE), lineages=[b"first"])
    await handle.store.write(placed(bare_record("n/1", b"older", revision=4)), lineages=[b"older"])
    assert await kept(handle) == b"first"


async def test_of_two_writes_in_one_commit_the_newer_version_has_its_own(handle: Handle) -> None:
    newer = bare_record("n/1", b"newer", revision=6)
    await handle.store.write(placed(newer, ONE), lineages=[b"newer", b"older"])
    assert await kept(handle) == b"newer"


async def test_digests_and_counters_do_not_depend_on_it(handle: Handle) -> None:
    await handle.store.write(placed(ONE))
    before = await handle.store.tree(SHARD)
    await handle.store.write(placed(ONE), lineages=[b"first"])
    await handle.store.lineages.keep(SHARD, [(ONE.entity, b"first", b"second")])
    assert await handle.store.tree(SHARD) == before
    assert (await handle.store.counts(SHARD)).records == 1


async def test_it_is_changed_only_from_what_it_was(handle: Handle) -> None:
    await handle.store.write(placed(ONE, bare_record("n/2")), lineages=[b"first", b""])
    two, missing = bare_record("n/2").entity, bare_record("n/3").entity
    await handle.store.lineages.keep(
        SHARD, [(ONE.entity, b"another", b"lost"), (two, b"", b"added"), (missing, b"", b"nowhere")]
    )
    assert [await kept(handle, each) for each in (ONE.entity, two, missing)] == [b"first", b"added", b""]
    await handle.store.lineages.keep(SHARD, [(ONE.entity, b"first", b"changed")])
    await handle.restart()
    assert await kept(handle) == b"changed"
    await handle.store.lineages.keep(OTHER_SHARD, [(ONE.entity, b"", b"nowhere")])
    await handle.store.lineages.keep(SHARD, [])


async def test_pages_have_what_is_recent_in_the_order_of_the_tree(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [bare_record(f"n/{number}", revision=1 + number % 3) for number in range(60)]
    lineages = [b"" if number % 4 == 0 else b"%d" % number * 20 for number in range(60)]
    await handle.store.write(placed(*records), lineages=lineages)
    for module in (memory_lineages, lineage_rows):
        monkeypatch.setattr(module, "LINEAGE_PAGE_BYTES", 200)
    monkeypatch.setattr(lineage_rows, "PAGE_LEAVES", 7)
    found: list[tuple[Entity, bytes]] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = await handle.store.lineages.page(SHARD, after=after, since=2)
        assert sum(len(lineage) for _, lineage in page.found) < 300
        found += page.found
        after, pages = page.after, pages + 1
    expected = {
        record.entity: lineage
        for record, lineage in zip(records, lineages, strict=True)
        if lineage and record.version.stamp >= 2
    }
    assert found == [(entity, expected[entity]) for entity in by_slot(expected)]
    assert pages > 3
    assert interface.LINEAGE_PAGE_BYTES == 256 << 10


async def test_a_dropped_shard_keeps_nothing(handle: Handle) -> None:
    await handle.store.write(placed(ONE), lineages=[b"first"])
    await handle.store.drop(SHARD)
    await handle.store.write(placed(ONE))
    assert await kept(handle) == b""
