"""Apply, Delete and Query of PropertyService, called by a stock gRPC client."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from gossipnode.wire.generated.pb.banyandb.model.v1 import query_pb2 as model
from tests.system.nodes import Nodes
from tests.system.processes import Node
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import own, properties, property_of, rpc, tags_of

pytestmark = pytest.mark.slow

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EQ, NE, LT, GT, LE, GE, HAVING, NOT_HAVING, IN, NOT_IN, MATCH = range(1, 12)
AND, OR = 1, 2
DESC, ASC = 1, 2
_numbers = itertools.count()


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> Node:
    (node,) = module_nodes.start("a", groups=["sw:1:3", "parts:3:3", "found:2:3"])
    with Stock(node.address) as stock:
        for number in range(12):
            tags = {"n": number, "s": f"v{number % 3}", "list": ["even" if number % 2 == 0 else "odd", "all"]}
            if number == 11:
                del tags["n"]
            stock.apply(property_of("found", f"name-{number % 2}", f"id-{number:02}", tags))
        stock.apply(property_of("found", "name-0", "gone"))
        stock.delete("found", "name-0", "gone")
        stock.apply(property_of("sw", "elsewhere", "id-00", {"n": 100}))
    return node


@pytest.fixture
def stock(node: Node) -> Iterator[Stock]:
    with Stock(node.address) as stock:
        yield stock


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"name-of-test-{next(_numbers)}"


def one(stock: Stock, name: str, id_: str = "1") -> Any:
    found = stock.query("sw", name=name, ids=[id_])
    assert len(found) <= 1
    return found[0] if found else None


# --- apply and delete ---


def test_apply_creates_merges_and_replaces(stock: Stock, name: str) -> None:
    before = time.time_ns()
    made = stock.apply(property_of("sw", name, "1", {"a": "1", "b": 2}))
    assert (made.created, made.tags_num) == (True, 2)
    first = one(stock, name)
    assert tags_of(first) == {"a": "1", "b": 2}
    assert before <= first.metadata.create_revision == first.metadata.mod_revision <= time.time_ns()

    merged = stock.apply(property_of("sw", name, "1", {"c": ["x"], "a": "2"}))
    assert (merged.created, merged.tags_num) == (False, 3)
    second = one(stock, name)
    assert list(tags_of(second).items()) == [("a", "2"), ("b", 2), ("c", ["x"])]
    assert second.metadata.create_revision == first.metadata.create_revision
    assert second.metadata.mod_revision > first.metadata.mod_revision
    assert second.updated_at.ToNanoseconds() > first.updated_at.ToNanoseconds()

    replaced = stock.apply(property_of("sw", name, "1", {"d": "only"}), replace=True)
    assert (replaced.created, replaced.tags_num) == (False, 1)
    third = one(stock, name)
    assert tags_of(third) == {"d": "only"}
    assert third.metadata.create_revision == first.metadata.create_revision


def test_stamps_of_a_client_count_for_nothing(stock: Stock, name: str) -> None:
    stock.apply(property_of("sw", name, "1", revision=1))
    stock.apply(property_of("sw", name, "2", revision=2**62 - 1))
    for id_ in "12":
        revision = one(stock, name, id_).metadata.mod_revision
        assert abs(revision - time.time_ns()) < 60_000_000_000


def test_every_kind_of_value_comes_back(stock: Stock, name: str) -> None:
    made = property_of(
        "sw",
        name,
        "1",
        {"s": "ü\n\0", "i": -(2**63), "b": bytes(range(256)), "ia": [2**63 - 1, 0], "n": None},
    )
    made.tags.add(key="empty").value.str.value = ""
    made.tags.add(key="no strings").value.str_array.SetInParent()
    made.tags.add(key="no numbers").value.int_array.SetInParent()
    moment = made.tags.add(key="t").value.timestamp
    moment.seconds, moment.nanos = -62_135_596_800, 1
    made.tags.add(key="no value")
    stock.apply(made)
    assert one(stock, name).tags == made.tags


def test_delete_then_apply_creates_again(stock: Stock, name: str) -> None:
    stock.apply(property_of("sw", name, "1", {"old": "tag"}))
    first = one(stock, name)
    assert stock.delete("sw", name, "1").deleted
    assert not stock.delete("sw", name, "1").deleted
    assert one(stock, name) is None
    made = stock.apply(property_of("sw", name, "1", {"new": "tag"}))
    assert (made.created, made.tags_num) == (True, 1)
    again = one(stock, name)
    assert tags_of(again) == {"new": "tag"}
    assert again.metadata.create_revision > first.metadata.create_revision


def test_delete_of_what_never_was(stock: Stock, name: str) -> None:
    assert not stock.delete("sw", name, "1").deleted
    assert not stock.delete("sw", name).deleted


def test_delete_with_an_empty_id_deletes_all_of_a_name(stock: Stock, name: str) -> None:
    for number in range(150):
        stock.apply(property_of("parts", name, str(number)))
    stock.apply(property_of("parts", f"{name}-other", "1"))
    assert stock.delete("parts", name).deleted
    assert stock.query("parts", name=name) == []
    assert len(stock.query("parts", name=f"{name}-other")) == 1
    assert not stock.delete("parts", name).deleted


def test_merges_of_different_tags_side_by_side_all_survive(stock: Stock, name: str) -> None:
    call = stock.channel.unary_unary(
        "/banyandb.property.v1.PropertyService/Apply",
        request_serializer=rpc.ApplyRequest.SerializeToString,
        response_deserializer=rpc.ApplyResponse.FromString,
    )
    requests = [rpc.ApplyRequest(property=property_of("sw", name, "1", {f"t{n}": n})) for n in range(200)]
    answers = [call.future(request, timeout=60) for request in requests]
    results = [answer.result() for answer in answers]
    assert sum(result.created for result in results) == 1
    assert sorted(result.tags_num for result in results) == list(range(1, 201))
    assert tags_of(one(stock, name)) == {f"t{n}": n for n in range(200)}


# --- wrong input ---


def _twice(name: str) -> Any:
    made = property_of("sw", name, "1", {"k": "1"})
    made.tags.add(key="k").value.str.value = "2"
    return made


def _moment(seconds: int, nanos: int) -> Any:
    made = property_of("sw", "n", "1")
    made.tags.add(key="t").value.timestamp.seconds = seconds
    made.tags[1].value.timestamp.nanos = nanos
    return made


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("nothing", properties.Property, "metadata"),
    ("no tags", lambda: property_of("sw", "n", "1", {}), "tags"),
    ("a key twice", lambda: _twice("n"), "tags[1].key"),
    ("an empty key", lambda: property_of("sw", "n", "1", {"": "v"}), "tags[0].key"),
    ("a long key", lambda: property_of("sw", "n", "1", {"ü" * 128: "v"}), "tags[0].key"),
    ("no group", lambda: property_of("", "n", "1"), "group"),
    ("no name", lambda: property_of("sw", "", "1"), "name"),
    ("no id", lambda: property_of("sw", "n", ""), "id"),
    ("a slash in the group", lambda: property_of("s/w", "n", "1"), "group"),
    ("a slash in the name", lambda: property_of("sw", "n/m", "1"), "name"),
    ("a long group", lambda: property_of("g" * 256, "n", "1"), "group"),
    ("a long name", lambda: property_of("sw", "ü" * 128, "1"), "name"),
    ("a long id", lambda: property_of("sw", "n", "i" * 4097), "id"),
    ("too large", lambda: property_of("sw", "n", "1", {"k": bytes(1 << 20)}), "1048576"),
    ("a time after 9999", lambda: _moment(253_402_300_800, 0), "tags[1].value.timestamp"),
    ("a time before 1", lambda: _moment(-62_135_596_801, 0), "tags[1].value.timestamp"),
    ("nanos below 0", lambda: _moment(0, -1), "tags[1].value.timestamp"),
]


@pytest.mark.parametrize(("make", "field"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_apply_refuses_and_names_the_field(stock: Stock, make: Callable[[], Any], field: str) -> None:
    with refused(INVALID, field):
        stock.apply(make())


def test_the_largest_that_may_be_stored(stock: Stock, name: str) -> None:
    made = property_of("sw", name[:10] + "n" * 245, "i" * 4096, {"k" * 255: b""})
    made.tags[0].value.binary_data = bytes((1 << 20) - made.ByteSize() - 8)
    for _ in range(8):
        made.tags[0].value.binary_data += bytes((1 << 20) - made.ByteSize())
    assert made.ByteSize() == 1 << 20
    # The node's own stamps may make it too large. It is then refused, and never stored in part.
    try:
        assert stock.apply(made).created
    except grpc.RpcError as error:
        assert error.code() is INVALID  # noqa: PT017 - either end is right
    made.tags[0].value.binary_data = made.tags[0].value.binary_data[:-100]
    stock.apply(made)


def test_a_merge_that_grows_too_large_is_refused_and_changes_nothing(stock: Stock, name: str) -> None:
    stock.apply(property_of("sw", name, "1", {"a": bytes(600_000)}))
    with refused(INVALID, "1048576"):
        stock.apply(property_of("sw", name, "1", {"b": bytes(600_000)}))
    assert list(tags_of(one(stock, name))) == ["a"]


def test_unknown_groups(stock: Stock) -> None:
    for call in (
        lambda: stock.apply(property_of("nobody", "n", "1")),
        lambda: stock.delete("nobody", "n", "1"),
        lambda: stock.delete("nobody", "n"),
        lambda: stock.query("nobody"),
        lambda: stock.query(["sw", "nobody"]),
    ):
        with refused(grpc.StatusCode.NOT_FOUND, "'nobody'"):
            call()


def test_groups_of_the_system_take_no_writes(stock: Stock) -> None:
    for group in ("_", "_system", "_gossipnode"):
        for call in (
            lambda group=group: stock.apply(property_of(group, "n", "1")),
            lambda group=group: stock.delete(group, "n", "1"),
            lambda group=group: stock.delete(group, "n"),
        ):
            with refused(grpc.StatusCode.PERMISSION_DENIED, group):
                call()


def test_wrong_requests_of_delete_and_query(stock: Stock) -> None:
    condition = model.Condition(name="n", op=GT)
    for call, field in (
        (lambda: stock.delete("", "n", "1"), "group"),
        (lambda: stock.delete("sw", "", "1"), "name"),
        (lambda: stock.delete("sw", "", ""), "name"),
        (lambda: stock.delete("sw", "a/b", "1"), "name"),
        (lambda: stock.delete("sw", "n", "i" * 4097), "id"),
        (lambda: stock.query([]), "groups"),
        (lambda: stock.query("found", criteria=model.Criteria(condition=condition)), "'n'"),
        (lambda: stock.query("found", criteria=where("", EQ, "x")), "names no tag"),
        (lambda: stock.query("found", criteria=where("n", 0, "x")), "criteria.condition.op"),
        (lambda: stock.query("found", criteria=where("n", 77, "x")), "criteria.condition.op"),
        (
            lambda: stock.query("found", criteria=model.Criteria(le=model.LogicalExpression(op=AND))),
            "criteria.le",
        ),
    ):
        with refused(INVALID, field):
            call()


def test_an_unknown_strategy(stock: Stock, name: str) -> None:
    request = rpc.ApplyRequest(property=property_of("sw", name, "1"), strategy=9)
    with refused(INVALID, "strategy"):
        stock.unary("/banyandb.property.v1.PropertyService/Apply", request, rpc.ApplyResponse)
    assert one(stock, name) is None


@pytest.mark.parametrize(
    ("field", "record", "delete_time"), [("mod_revision", 2**62, 0), ("delete_time", 5, 2**62)]
)
def test_an_import_names_the_stamp_that_nothing_could_replace(
    stock: Stock, name: str, field: str, record: int, delete_time: int
) -> None:
    held = own.Record(property=property_of("sw", name, "1", revision=record), delete_time=delete_time)
    (answer,) = stock.import_stream([own.ImportRequest(group="sw", records=[held], keep_versions=True)])
    assert answer.bad_record == 0
    assert answer.problem == f"{field}: {2**62} leaves no room for a later version"


# --- query ---


def where(tag: str, op: int, value: object) -> Any:
    made = property_of("g", "n", "i", {tag or "x": value}).tags[0].value
    return model.Criteria(condition=model.Condition(name=tag, op=op, value=made))


def both(op: int, left: Any, right: Any) -> Any:
    return model.Criteria(le=model.LogicalExpression(op=op, left=left, right=right))


def ids(found: list[Any]) -> list[int]:
    return [int(record.id[3:]) for record in found]


EVEN, ODD = [0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [*EVEN, *ODD]),
        ({"name": "name-1"}, ODD),
        ({"name": "name-1", "ids": ["id-03", "id-02", "id-03", "id-01"]}, [1, 3]),
        ({"ids": ["id-03", "id-02"]}, [2, 3]),
        ({"name": "none"}, []),
        ({"ids": ["gone"]}, []),
        ({"limit": 3}, [0, 2, 4]),
        ({"criteria": where("n", EQ, 3)}, [3]),
        ({"criteria": where("n", NE, 3)}, [*EVEN, 1, 5, 7, 9, 11]),
        ({"criteria": where("n", LT, 3)}, [0, 2, 1]),
        ({"criteria": where("n", LE, 3)}, [0, 2, 1, 3]),
        ({"criteria": where("n", GT, 8)}, [10, 9]),
        ({"criteria": where("n", GE, 8)}, [8, 10, 9]),
        ({"criteria": where("s", EQ, "v0")}, [0, 6, 3, 9]),
        ({"criteria": where("s", EQ, 0)}, []),
        ({"criteria": where("s", IN, ["v0", "v1"])}, [0, 4, 6, 10, 1, 3, 7, 9]),
        ({"criteria": where("s", NOT_IN, ["v0", "v1"])}, [2, 8, 5, 11]),
        ({"criteria": where("n", IN, [1, 2])}, [2, 1]),
        ({"criteria": where("list", HAVING, ["odd", "all"])}, ODD),
        ({"criteria": where("list", NOT_HAVING, ["odd"])}, EVEN),
        ({"criteria": where("list", EQ, "odd")}, ODD),
        ({"criteria": where("s", MATCH, "v2")}, [2, 8, 5, 11]),
        ({"criteria": both(AND, where("n", GT, 2), where("s", EQ, "v0"))}, [6, 3, 9]),
        ({"criteria": both(OR, where("n", EQ, 2), where("n", EQ, 5))}, [2, 5]),
        ({"criteria": both(OR, where("n", EQ, 2), None)}, [2]),
        ({"order_by": rpc.QueryOrder(tag_name="n", sort=ASC)}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ({"order_by": rpc.QueryOrder(tag_name="n", sort=DESC)}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11]),
        ({"order_by": rpc.QueryOrder(tag_name="n", sort=DESC), "limit": 3}, [10, 9, 8]),
        ({"order_by": rpc.QueryOrder(tag_name="s")}, [0, 6, 3, 9, 4, 10, 1, 7, 2, 8, 5, 11]),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)
def test_query(stock: Stock, fields: dict[str, Any], expected: list[int]) -> None:
    assert ids(stock.query("found", **fields)) == expected


def test_query_of_several_groups_and_a_projection(stock: Stock) -> None:
    found = stock.query(
        ["found", "sw", "found"], ids=["id-00", "id-01"], tag_projection=["s", "n", "nothing"]
    )
    assert [(record.metadata.group, record.id, tags_of(record)) for record in found] == [
        ("found", "id-00", {"n": 0, "s": "v0"}),
        ("found", "id-01", {"n": 1, "s": "v1"}),
        ("sw", "id-00", {"n": 100}),
    ]


def test_a_limit_of_0_is_100(stock: Stock, name: str) -> None:
    for number in range(101):
        stock.apply(property_of("sw", name, str(number)))
    assert len(stock.query("sw", name=name)) == 100
    assert len(stock.query("sw", name=name, limit=2**32 - 1)) == 101


def test_an_answer_over_4_mib_is_refused(stock: Stock, name: str) -> None:
    for number in range(5):
        stock.apply(property_of("sw", name, str(number), {"b": bytes(1_000_000)}))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "ask for fewer records"):
        stock.query("sw", name=name)
    assert len(stock.query("sw", name=name, limit=2)) == 2
    assert len(stock.query("sw", name=name, tag_projection=["none"])) == 5
