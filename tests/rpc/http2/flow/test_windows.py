"""What a peer may send before somebody reads it: windows, and the caller's share of the memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.concurrency.memory_budget import MIB, MemoryBudget
from gossipnode.concurrency.shares import Caller
from gossipnode.rpc import Limits, RpcError, Status
from gossipnode.rpc.http2.connection import CONNECTION_BYTES, STREAM_BYTES
from gossipnode.rpc.http2.frames import DEFAULT_WINDOW_BYTES
from gossipnode.rpc.message_framing import frame_message
from tests.concurrency.accounts import account
from tests.rpc.http2.joined import REQUEST, RESPONSE, Joined, Sleeper

FIRST = Limits().first_window_bytes
LARGEST = Limits().stream_window_bytes


def send(joined: Joined, stream, data: bytes, sent: int = 0, *, sender=None) -> int:
    """Send as much of `data` as the windows allow, and hand it over; how much has been sent by now."""
    sender = sender or joined.client
    while (now := sender.write_data(stream, data, sent, end=False)) > sent:
        sent = now
        joined.exchange()
    return sent


def test_a_stream_that_nobody_reads_stops_no_other_one():
    joined = Joined(server_limits=Limits(connection_window_bytes=DEFAULT_WINDOW_BYTES))
    for _ in range(20):
        unread, _ = joined.call()
        assert send(joined, unread, frame_message(bytes(MIB))) == FIRST
    ours, theirs = joined.call()
    assert send(joined, ours, frame_message(b"hello")) == 10
    assert joined.server.take(theirs, 1) == [b"hello"]


def test_a_reader_that_keeps_up_gets_a_large_window():
    joined = Joined()
    ours, theirs = joined.call()
    messages = frame_message(bytes(10_000)) * 1000
    sent = send(joined, ours, messages)
    assert sent == FIRST
    assert len(joined.server.take(theirs, 1000)) == sent // 10_005
    joined.exchange()
    assert LARGEST - 10_005 < send(joined, ours, messages, sent) - sent <= LARGEST


def test_credit_is_given_once_a_quarter_of_the_window_is_used():
    joined = Joined()
    ours, theirs = joined.call()
    for size, credited in ((FIRST // 4 - 10, False), (20, True)):
        send(joined, ours, frame_message(bytes(size - 5)))
        assert len(joined.server.take(theirs, 1)) == 1
        assert bool(joined.server.out) == credited


def test_a_message_longer_than_the_window_is_let_in_whole_once_it_is_read():
    joined = Joined(server_limits=Limits(stream_window_bytes=FIRST))
    ours, theirs = joined.call()
    data = frame_message(bytes(3 * MIB))
    sent = send(joined, ours, data)
    assert sent == FIRST
    assert joined.server.take(theirs, 1) == []
    joined.exchange()
    assert send(joined, ours, data, sent) == len(data)
    assert joined.server.take(theirs, 1) == [bytes(3 * MIB)]


def small_budget() -> MemoryBudget:
    """One of which a caller that is no member may have 3 MiB."""
    return MemoryBudget(8 * MIB)


def test_a_message_for_which_there_is_no_memory_waits_for_it():
    budget = small_budget()
    other = budget.account("test", Caller("other"))
    joined = Joined(server_memory=budget.account("test", Caller("peer")))
    ours, theirs = joined.call()
    data = frame_message(bytes(2 * MIB))
    sent = send(joined, ours, data)
    other.take(4 * MIB)
    assert budget.let_in(joined.server.memory.caller, "another message")
    assert joined.server.take(theirs, 1) == []
    assert theirs.starved
    joined.exchange()
    sent = send(joined, ours, data, sent)
    assert sent < len(data) // 2
    budget.wait(joined.server.memory, theirs, reader := Sleeper())
    other.give_back(4 * MIB)
    assert reader.woken == 1
    joined.server.memory.let_in_no_more("another message")
    assert joined.server.take(theirs, 1) == []
    assert not theirs.starved
    joined.exchange()
    assert send(joined, ours, data, sent) == len(data)
    assert joined.server.take(theirs, 1) == [bytes(2 * MIB)]


def test_windows_stay_small_while_memory_is_short():
    budget = small_budget()
    budget.account("test", Caller("other")).take(6 * MIB)
    joined = Joined(server_memory=budget.account("test", Caller("peer", member=True)))
    ours, theirs = joined.call()
    sent = send(joined, ours, frame_message(bytes(10_000)) * 1000)
    joined.server.take(theirs, 1000)
    joined.exchange()
    assert FIRST // 2 < send(joined, ours, frame_message(bytes(10_000)) * 1000) <= 3 * FIRST
    assert sent == FIRST


def test_a_call_that_sends_more_than_the_share_of_its_caller_ends_and_others_go_on():
    joined = Joined(server_memory=small_budget().account("test", Caller("peer")))
    read, theirs_read = joined.call()
    unread = [joined.call() for _ in range(60)]
    for ours, _ in unread:
        send(joined, ours, bytes(MIB))
    ended = [theirs.ending for _, theirs in unread if theirs.ending is not None]
    assert 0 < len(ended) < 60
    assert {error.status for error in ended} == {Status.RESOURCE_EXHAUSTED}
    assert "peer has sent more than its share" in (ended[0].message or "")
    assert joined.server.memory.held <= 3 * MIB + 61 * STREAM_BYTES
    for _, theirs in unread:
        joined.server.finish(theirs)
    assert send(joined, read, frame_message(b"still here")) == 15
    assert joined.server.take(theirs_read, 1) == [b"still here"]


def test_answers_that_are_more_than_the_share_of_the_peer_end_their_call():
    joined = Joined(client_memory=small_budget().account("test", Caller("peer")))
    calls = [joined.call() for _ in range(60)]
    for _, theirs in calls:
        joined.server.write_headers(theirs, RESPONSE, [])
        assert send(joined, theirs, bytes(MIB), sender=joined.server) <= FIRST
    failed = [ours for ours, _ in calls if ours.error is not None]
    assert 0 < len(failed) < 60
    assert {stream.error.status for stream in failed if stream.error} == {Status.RESOURCE_EXHAUSTED}
    assert joined.client.memory.held <= 3 * MIB + 60 * STREAM_BYTES


def test_no_stream_is_opened_without_memory_for_it():
    joined = Joined(server_memory=account(1 * MIB))
    calls = [joined.client.open(REQUEST, []) for _ in range(100)]
    joined.exchange()
    refused = [stream.error for stream in calls if stream.error is not None]
    assert 40 < len(refused) < 70
    assert {error.status for error in refused} == {Status.UNAVAILABLE}
    assert all(error.never_processed for error in refused)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["call", "send", "take", "finish"]), st.integers(0, 5)), max_size=40)
)
def test_what_is_counted_is_what_is_here(script):
    memory = small_budget().account("test", Caller("peer"))
    joined = Joined(server_memory=memory)
    calls = []
    for what, number in script:
        if what == "call":
            calls.append(joined.call())
        elif calls:
            ours, theirs = calls[number % len(calls)]
            if what == "send" and ours.error is None and not ours.local_ended:
                send(joined, ours, frame_message(bytes(150_000)))
            elif what == "take" and theirs.id in joined.server.streams:
                try:
                    joined.server.take(theirs, 2)
                except RpcError as error:
                    pytest.fail(str(error))
            elif what == "finish":
                joined.server.finish(theirs)
            joined.exchange()
        streams = joined.server.streams.values()
        here = sum(len(stream.inbound) + stream.handed + STREAM_BYTES for stream in streams)
        remembered = joined.server._decoder._heads_bytes * 4
        assert memory.held == CONNECTION_BYTES + here + remembered
    for _, theirs in calls:
        joined.server.finish(theirs)
    assert memory.budget.promise_room(memory.caller) == 3 * MIB - memory.budget.shares.held
    memory.close()
    assert memory.budget.shares.held == 0


def test_what_a_reader_was_given_is_counted_until_it_asks_for_more():
    joined = Joined()
    ours, theirs = joined.call()
    before = joined.server.memory.held
    sent = send(joined, ours, frame_message(bytes(10_000)) * 2)
    assert joined.server.take(theirs, 1) == [bytes(10_000)]
    assert joined.server.memory.held == before + sent
    assert joined.server.take(theirs, 1) == [bytes(10_000)]
    assert joined.server.memory.held == before + sent // 2
    assert joined.server.take(theirs, 1) == []
    assert joined.server.memory.held == before
    send(joined, ours, frame_message(bytes(10_000)))
    joined.server.take(theirs, 1)
    joined.server.finish(theirs)
    assert joined.server.memory.held == before - STREAM_BYTES


def test_large_messages_are_handed_out_one_by_one():
    joined = Joined(server_limits=Limits(first_window_bytes=2 * MIB))
    ours, theirs = joined.call()
    send(joined, ours, frame_message(bytes(300_000)) * 4)
    assert [len(joined.server.take(theirs, 16)) for _ in range(5)] == [1, 1, 1, 1, 0]


def test_what_many_callers_were_promised_stays_within_the_budget():
    """Each of them alone would have room for its message."""
    budget = small_budget()
    sides = [Joined(server_memory=budget.account("test", Caller(f"peer {n}"))) for n in range(40)]
    data = frame_message(bytes(2 * MIB))
    calls = [(joined, *joined.call()) for joined in sides]
    sent = [send(joined, ours, data) for joined, ours, _ in calls]
    for joined, _, theirs in calls:
        joined.server.take(theirs, 1)
        joined.exchange()
    for (joined, ours, _), before in zip(calls, sent, strict=True):
        send(joined, ours, data, before)
    assert budget.shares.held <= budget.shares.capacity + MIB
    refused = [theirs.ending for _, _, theirs in calls if theirs.ending is not None]
    assert 0 < len(refused) < 40
    assert {error.status for error in refused} == {Status.RESOURCE_EXHAUSTED}


def test_what_came_at_the_beginnings_of_streams_is_never_refused_for_what_was_let_in_before():
    """The server let the messages of the first calls in; those that began meanwhile did nothing wrong."""
    budget = MemoryBudget(64 * MIB)
    joined = Joined(server_memory=budget.account("test", Caller("peer")))
    data = frame_message(bytes(2 * MIB))
    calls = [joined.call() for _ in range(200)]
    for ours, theirs in calls[:20]:
        sent = send(joined, ours, data)
        joined.server.take(theirs, 1)
        joined.exchange()
        send(joined, ours, data, sent)
    for ours, _ in calls[20:]:
        assert send(joined, ours, data) == FIRST
    assert [theirs.ending for _, theirs in calls] == [None] * 200
    for _, theirs in calls:
        joined.server.finish(theirs)
    assert budget.promise_room(joined.server.memory.caller) >= 20 * MIB


def test_a_connection_that_ends_lets_the_next_message_of_its_caller_in():
    budget = small_budget()
    other = budget.account("test", Caller("other"))
    caller = Caller("peer")
    first = Joined(server_memory=budget.account("test", caller))
    ours, theirs = first.call()
    other.take(4 * MIB)
    send(first, ours, frame_message(bytes(2 * MIB)))
    first.server.take(theirs, 1)
    assert not budget.let_in(caller, "another message")
    first.server.close()
    first.server.memory.close()
    first.server.finish(theirs)
    assert budget.let_in(caller, "another message")
