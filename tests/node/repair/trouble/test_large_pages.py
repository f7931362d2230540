"""A page of very many leaves: the other tasks of the node get their turns while it is compared."""

from __future__ import annotations

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.session.commands import Command, Rest, SessionEnd
from gossipnode.core.session.messages import DifferSummary, PageLeaf, RootCompare, TreeRoot, WaitNextDiffer
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.node.repair.shard_store import ShardStore
from tests.node.repair.streams import FakeStream, stream_pair
from tests.node.repair.tree_streams import tree_stream
from tests.node.support import make_local, memory_store

SHARD = ShardId("sw", 0)


async def serve(theirs: FakeStream, page: DifferSummary) -> None:
    """A server whose page holds leaves that no replica may store."""
    assert isinstance((await theirs.recv_batch(1))[0], TreeRoot)
    await theirs.send_batch([RootCompare(tree_found=True, root_match=False)])
    for each in (page, DifferSummary(())):
        await theirs.send_batch([each])
        while not isinstance((await theirs.recv_batch(1))[0], WaitNextDiffer):
            pass
    theirs.outbound.end()


async def test_other_tasks_run_between_the_steps() -> None:
    ours, theirs = stream_pair(100)
    store = memory_store()
    session = TreeClient(SHARD, 1, await store.tree(SHARD), page_leaves=16)
    turns = 0
    at_rests: list[int] = []
    next_command = session.next_command

    def watched() -> Command | None:
        command = next_command()
        if isinstance(command, Rest):
            at_rests.append(turns)
        return command

    session.next_command = watched  # type: ignore[method-assign]
    stream = tree_stream(
        ours, session, ShardStore(make_local(store, members=("a", "b")), SHARD), half_close=ours.half_close
    )
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(other)
        nursery.start_soon(serve, theirs, DifferSummary((PageLeaf(3, True, "", ""),) * 5000))
        assert await stream.run() is SessionEnd.REPAIRED
        nursery.cancel_scope.cancel()
    assert len(at_rests) == 9
    # Trio draws the order of the tasks in each pass, so one of them may miss one turn between two steps.
    assert all(before < after for before, after in zip(at_rests, at_rests[2:], strict=False))
