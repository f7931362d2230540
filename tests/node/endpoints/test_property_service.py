"""The compatible service of properties: what it answers, and what it cannot."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from tests.node.asking import asked, one_node
from tests.records import record


async def test_the_compatible_query_answers_in_one_message_or_says_it_is_too_large(
    autojump_clock: object,
) -> None:
    cluster = one_node()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i}", k="x" * 900_000) for i in range(5)))
        few = banyandb.QueryRequest(groups=["sw"], limit=4)
        answer = await channel.unary(services.QUERY, few, timeout=5)
        assert len(answer.properties) == 4
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.QUERY, banyandb.QueryRequest(groups=["sw"]), timeout=5)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert "ask for fewer records" in caught.value.message


async def test_a_compatible_delete_without_an_id_deletes_the_whole_name(autojump_clock: object) -> None:
    cluster = one_node()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i}") for i in range(5)), record("other/1"))
        whole = banyandb.DeleteRequest(group="sw", name="n")
        assert (await channel.unary(services.DELETE, whole, timeout=5)).deleted
        assert not (await channel.unary(services.DELETE, whole, timeout=5)).deleted
        assert (await cluster.stores["a"].counts(ShardId("sw", 0))).records == 1
