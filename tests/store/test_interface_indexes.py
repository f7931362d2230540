"""What every store promises of tag indexes: right after every write, read in pages, built in steps."""

from __future__ import annotations

import random

import pytest
import trio

from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.query.index_key import IndexKind, order_key
from gossipnode.store.interface import IndexHit, IndexRefusedError, IndexState
from gossipnode.store.prepared import INDEXES_PER_SHARD_MAX
from tests.store.support import (
    OTHER_SHARD,
    REMADE_SHARD,
    SHARD,
    Handle,
    check_indexes,
    find_all,
    hits,
    make_record,
    placed,
    tagged,
)

READY, BUILDING = IndexState.READY, IndexState.BUILDING
WHOLE, ELEMENT, ABSENT = IndexKind.WHOLE, IndexKind.ELEMENT, IndexKind.ABSENT


async def _ids(handle: Handle, tag: str, value: object, kind: IndexKind = WHOLE) -> list[str]:
    key = order_key(value)  # type: ignore[arg-type]
    return [hit.entity.id for hit in await find_all(handle.store, tag, kind, key, key)]


async def test_a_record_is_found_by_its_tags(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "color")
    await handle.store.want_index(SHARD, "size")
    await handle.store.write(placed(tagged("1", color="red", size=5), tagged("2", color="red")))
    await handle.store.write(placed(tagged("3", color=["red", "blue", "red"], size=-5), make_record("4")))
    assert handle.store.indexes(SHARD) == {"color": READY, "size": READY}
    assert await _ids(handle, "color", "red") == ["1", "2"]
    assert await _ids(handle, "color", "red", ELEMENT) == ["3"]
    assert await _ids(handle, "color", "blue", ELEMENT) == ["3"]
    assert await _ids(handle, "color", "green") == []
    assert [hit.entity.id for hit in await find_all(handle.store, "size")] == ["3", "1"]
    # A payload that cannot be read has no rows at all, not even one that says that the tag is absent.
    assert await _ids(handle, "size", None, ABSENT) == ["2"]


@pytest.mark.parametrize(
    ("second", "found"),
    [
        (tagged(revision=2, color="blue"), {"blue": ["1"]}),
        (tagged(revision=2, color="red", other=1), {"red": ["1"]}),
        (tagged(revision=2), {}),
        (make_record(revision=2, payload=b"unreadable"), {}),
        (make_record(revision=2, deleted=2, payload=b'{"color": "red"}'), {}),
        (tagged(revision=0, color="blue"), {"red": ["1"]}),
    ],
    ids=["changed", "kept", "without", "unreadable", "deleted", "older"],
)
@pytest.mark.parametrize("together", [False, True])
async def test_an_index_follows_a_record(
    handle: Handle, second: Record, found: dict[str, list[str]], together: bool
) -> None:
    await handle.store.want_index(SHARD, "color")
    first = tagged(color="red")
    for batch in ([first, second],) if together else ([first], [second]):
        await handle.store.write(placed(*batch))
    for color in ("red", "blue"):
        assert await _ids(handle, "color", color) == found.get(color, [])
    await check_indexes(handle.store)
    # The record comes back after versions without rows, and once more with another value.
    for revision, color in ((9, "red"), (10, "green")):
        await handle.store.write(placed(tagged(revision=revision, color=color)))
        assert await _ids(handle, "color", color) == ["1"]
        await check_indexes(handle.store)


async def test_an_index_is_built_from_what_is_there(handle: Handle) -> None:
    records = [tagged(str(number), n=number % 7) for number in range(100)]
    await handle.store.write(placed(*records, make_record("t", deleted=3), make_record("u")))
    await handle.store.want_index(SHARD, "n")
    await handle.store.want_index(SHARD, "absent")
    assert handle.store.indexes(SHARD) == {"n": BUILDING, "absent": BUILDING}
    with pytest.raises(LookupError, match=r"'n' in sw/0: .*built"):
        await find_all(handle.store, "n")
    while taken := await handle.store.build_indexes(limit=30):
        assert taken <= 30
    assert handle.store.indexes(SHARD) == {"n": READY, "absent": READY}
    assert await find_all(handle.store, "n") == hits(records, "n", WHOLE)
    assert len(await find_all(handle.store, "absent", ABSENT)) == 100
    assert await handle.store.build_indexes(limit=30) == 0


async def test_records_change_while_an_index_is_built(handle: Handle) -> None:
    chance = random.Random(3)
    records = [tagged(str(number), n=number) for number in range(60)]
    await handle.store.write(placed(*records))
    await handle.store.want_index(SHARD, "n")
    for revision in range(2, 12):
        await handle.store.build_indexes(limit=5)
        changed = [
            tagged(str(number), revision=revision, n=chance.randrange(100))
            for number in chance.sample(range(80), 6)
        ]
        changed.append(make_record(str(chance.randrange(60)), revision=revision + 1, deleted=1))
        await handle.store.write(placed(*changed))
    assert handle.store.indexes(SHARD) == {"n": BUILDING}
    while await handle.store.build_indexes(limit=50):
        pass
    assert handle.store.indexes(SHARD) == {"n": READY}
    await check_indexes(handle.store)


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_building_goes_on_after_a_restart(handle: Handle, how: str) -> None:
    await handle.store.write(placed(*(tagged(str(number), n=number) for number in range(50))))
    await handle.store.want_index(SHARD, "n")
    assert await handle.store.build_indexes(limit=20) == 20
    await getattr(handle, how)()
    assert handle.store.indexes(SHARD) == {"n": BUILDING}
    assert await handle.store.build_indexes(limit=1000) == 30
    await getattr(handle, how)()
    assert handle.store.indexes(SHARD) == {"n": READY}
    await handle.store.write(placed(tagged("0", revision=2, n=99)))
    assert len(await find_all(handle.store, "n")) == 50
    await check_indexes(handle.store)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("page", [1, 2, 3, 5, 100])
async def test_pages_follow_the_order_of_keys_then_entities(
    handle: Handle, descending: bool, page: int
) -> None:
    await handle.store.want_index(SHARD, "n")
    records = [
        tagged(identity, name=name, n=number)
        for number, identity, name in [
            *((1, str(each), "name") for each in range(8)),
            (2, "a\0", "name"),
            (2, "a", "name\0"),
            (2, "a", "nam"),
            (2, "", "x"),
            *((3, str(each), "name\1") for each in range(4)),
            (4, "only", "name"),
        ]
    ]
    await handle.store.write(placed(*records))
    # The record with an empty id is refused.
    ordered = hits([record for record in records if record.entity.id], "n", WHOLE, descending=descending)
    assert len(ordered) == 16
    assert await find_all(handle.store, "n", page=page, descending=descending) == ordered
    low, high = order_key(2), order_key(3)
    expected = [hit for hit in ordered if low <= hit.key <= high]
    found = await find_all(handle.store, "n", WHOLE, low, high, page=page, descending=descending)
    assert found == expected


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_may_begin_after_any_place(handle: Handle, descending: bool) -> None:
    await handle.store.want_index(SHARD, "n")
    records = [tagged(str(number), n=number // 3) for number in range(12)]
    await handle.store.write(placed(*records))
    ordered = hits(records, "n", WHOLE, descending=descending)
    low, high = order_key(1), order_key(2)
    places = [
        *ordered,
        # A page may also begin after a row that is not there, or not there any more.
        IndexHit(order_key(1), make_record("35").entity),
        IndexHit(b"", make_record("0").entity),
        IndexHit(b"\xff", make_record("0").entity),
    ]
    for after in places:
        if descending:
            later = [hit for hit in ordered if hit.key < after.key or (hit.key == after.key and hit > after)]
        else:
            later = [hit for hit in ordered if hit > after]
        expected = [hit for hit in later if low <= hit.key <= high]
        for limit in (0, 1, 4, 100):
            found = await handle.store.find(
                SHARD, "n", WHOLE, low, high, after=after, descending=descending, limit=limit
            )
            assert found == expected[:limit]


async def test_an_empty_range_has_no_rows(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "n")
    await handle.store.write(placed(*(tagged(str(number), n=number) for number in range(5))))
    for descending in (False, True):
        assert await find_all(handle.store, "n", WHOLE, b"\xfe", b"\xff", descending=descending) == []
        assert await find_all(handle.store, "n", WHOLE, b"\xff", b"", descending=descending) == []
        assert await find_all(handle.store, "n", ELEMENT, descending=descending) == []


async def test_indexes_of_shards_are_apart(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "n")
    await handle.store.want_index(REMADE_SHARD, "m")
    for shard in (SHARD, OTHER_SHARD, REMADE_SHARD):
        await handle.store.write(placed(tagged(n=shard.incarnation, m=1), shard=shard))
    assert handle.store.indexes(SHARD) == {"n": READY}
    assert handle.store.indexes(OTHER_SHARD) == {}
    assert handle.store.indexes(REMADE_SHARD) == {"m": READY}
    assert len(await find_all(handle.store, "n")) == 1
    for shard in (OTHER_SHARD, REMADE_SHARD):
        with pytest.raises(LookupError, match="it does not exist"):
            await find_all(handle.store, "n", shard=shard)


async def test_an_index_is_given_up(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "n")
    await handle.store.want_index(SHARD, "m")
    await handle.store.write(placed(*(tagged(str(number), n=1, m=number) for number in range(20))))
    await handle.store.drop_index(SHARD, "n")
    await handle.store.drop_index(SHARD, "never wanted")
    assert handle.store.indexes(SHARD) == {"m": READY}
    with pytest.raises(LookupError):
        await find_all(handle.store, "n")
    await handle.store.write(placed(tagged("3", revision=2, n=5, m=5)))
    await check_indexes(handle.store)
    # An index that is wanted again starts from nothing.
    await handle.store.want_index(SHARD, "n")
    assert handle.store.indexes(SHARD) == {"m": READY, "n": BUILDING}
    assert await handle.store.build_indexes(limit=1000) == 20
    assert await _ids(handle, "n", 5) == ["3"]
    await check_indexes(handle.store)


async def test_wanting_again_changes_nothing(handle: Handle) -> None:
    await handle.store.write(placed(tagged(n=1)))
    await handle.store.want_index(SHARD, "n")
    await handle.store.build_indexes(limit=10)
    async with trio.open_nursery() as nursery:
        for tag in ("n", "n", "m", "m"):
            nursery.start_soon(handle.store.want_index, SHARD, tag)
    assert handle.store.indexes(SHARD) == {"m": BUILDING, "n": READY}


async def test_a_shard_that_has_only_an_index_is_there(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "n")
    assert handle.store.shards() == [SHARD]
    await handle.restart()
    assert handle.store.indexes(SHARD) == {"n": READY}
    await handle.store.drop_index(SHARD, "n")
    assert handle.store.shards() == []


async def test_a_shard_has_so_many_indexes_and_no_more(handle: Handle) -> None:
    for number in range(INDEXES_PER_SHARD_MAX):
        await handle.store.want_index(SHARD, str(number))
    with pytest.raises(IndexRefusedError, match=r"'more' in sw/0: .*already"):
        await handle.store.want_index(SHARD, "more")
    await handle.store.want_index(SHARD, "0")
    await handle.store.want_index(OTHER_SHARD, "more")
    await handle.store.drop_index(SHARD, "0")
    await handle.store.want_index(SHARD, "more")


@pytest.mark.parametrize(
    ("shard", "tag", "error"),
    [
        (SHARD, "", IndexRefusedError),
        (SHARD, "é" * 128, IndexRefusedError),
        (SHARD, "\ud800", IndexRefusedError),
        (ShardId("sw", -1), "n", InvalidEntityError),
    ],
)
async def test_an_index_that_nobody_can_have(
    handle: Handle, shard: ShardId, tag: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await handle.store.want_index(shard, tag)
    assert handle.store.shards() == []
    with pytest.raises(LookupError):
        await find_all(handle.store, tag)
    await handle.store.drop_index(SHARD, tag)


async def test_many_elements_that_are_cut_alike_have_one_row(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "sa")
    record = tagged(sa=["x" * 100 + str(number) for number in range(50)])
    await handle.store.write(placed(record))
    assert await find_all(handle.store, "sa", ELEMENT) == [IndexHit(order_key("x" * 100), record.entity)]
