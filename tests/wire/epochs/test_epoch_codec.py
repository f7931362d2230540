"""What members say to each other of epochs, and what a voter keeps, comes back as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.acceptor import AcceptorState, adopt, answer
from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    Prepare,
    Promise,
    Refused,
    Stranger,
)
from gossipnode.wire.epochs.epoch_codec import (
    BALLOT_MAX,
    Announce,
    Ask,
    At,
    EpochAnswer,
    EpochQuestion,
    decode_answer,
    decode_question,
    decode_state,
    encode_answer,
    encode_question,
    encode_state,
)
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as pb
from gossipnode.wire.wire_errors import WireError
from tests.core.cluster.clusters import CLUSTER_ID, formed, member
from tests.wire.epochs.values import BIRTHS, damages, moved_value, values
from tests.wire.support import examples

BALLOT = Ballot(3, 2**64 - 1)
VALUE = moved_value()
ANY_VALUE = st.just(VALUE) | values()
BALLOTS = st.builds(Ballot, st.integers(0, BALLOT_MAX), BIRTHS)
EPOCHS = st.integers(0, 2**64 - 1)
CLUSTERS = st.binary(max_size=16)

QUESTIONS: st.SearchStrategy[EpochQuestion] = st.one_of(
    st.builds(Prepare, CLUSTERS, EPOCHS, BIRTHS, BALLOTS),
    st.builds(Accept, CLUSTERS, EPOCHS, BIRTHS, BALLOTS, ANY_VALUE),
    st.builds(Announce, ANY_VALUE, BIRTHS),
    st.builds(Ask, CLUSTERS, EPOCHS),
)
PREPARE = Prepare(CLUSTER_ID, 5, 7, BALLOT)
ASK = Ask(CLUSTER_ID, 5)
ANSWERS: st.SearchStrategy[EpochAnswer] = st.one_of(
    st.builds(Promise, BALLOTS, st.none() | st.tuples(BALLOTS, ANY_VALUE)),
    st.builds(Accepted, BALLOTS),
    st.builds(Refused, BALLOTS),
    st.builds(DecidedAlready, ANY_VALUE),
    st.builds(Behind, EPOCHS),
    st.builds(Stranger, st.text(max_size=9)),
)

QUESTION_BYTES = encode_question(Accept(CLUSTER_ID, 5, 7, BALLOT, VALUE)).SerializeToString()
ANSWER_BYTES = encode_answer(Promise(BALLOT, (BALLOT, VALUE))).SerializeToString()


def said(question: EpochQuestion) -> EpochQuestion:
    data = encode_question(question).SerializeToString()
    return decode_question(pb.EpochRequest.FromString(data))


def answered(reply: EpochAnswer, question: EpochQuestion = PREPARE) -> EpochAnswer:
    data = encode_answer(reply).SerializeToString()
    return decode_answer(pb.EpochReply.FromString(data), question)


# --- questions and answers ---


@pytest.mark.slow
@examples(80)
@given(QUESTIONS)
def test_a_question_comes_back_as_it_went(question: EpochQuestion) -> None:
    assert said(question) == question


@pytest.mark.slow
@examples(80)
@given(ANSWERS)
def test_an_answer_comes_back_as_it_went(reply: EpochAnswer) -> None:
    assert answered(reply) == reply


def test_zeros_and_empty_texts_keep_their_kind() -> None:
    for question in (Prepare(b"", 0, 0, NO_BALLOT), Ask(b"", 0)):
        assert said(question) == question
    replies: tuple[EpochAnswer, ...] = (
        Promise(NO_BALLOT, None),
        Accepted(NO_BALLOT),
        Refused(NO_BALLOT),
        Behind(0),
        Stranger(""),
    )
    for reply in replies:
        assert answered(reply) == reply


def test_an_epoch_answers_what_was_asked() -> None:
    """A voter is behind its proposer; who asks for news is told how new we are."""
    assert answered(Behind(4), PREPARE) == Behind(4)
    assert answered(Behind(4), Accept(CLUSTER_ID, 5, 7, BALLOT, VALUE)) == Behind(4)
    for question in (ASK, Announce(VALUE, 7)):
        assert answered(At(4), question) == At(4)


def test_an_answer_without_anything_is_none() -> None:
    with pytest.raises(WireError, match="no answer is in it"):
        decode_answer(pb.EpochReply(), PREPARE)


def test_a_value_that_makes_no_sense_is_refused_wherever_it_stands() -> None:
    spoiled = pb.ClusterValue(format=1)
    pair = pb.BallotValue(ballot=pb.Ballot(number=1), value=spoiled)
    for request in (pb.EpochRequest(decided=spoiled), pb.EpochRequest(accept=pair)):
        with pytest.raises(WireError, match="epoch makes no sense"):
            decode_question(request)
    promise = pb.EpochReply.Promise(accepted=pair)
    for reply in (pb.EpochReply(decided=spoiled), pb.EpochReply(promise=promise)):
        with pytest.raises(WireError, match="epoch makes no sense"):
            decode_answer(reply, PREPARE)


def test_a_ballot_that_nothing_can_follow_is_refused() -> None:
    """Once it was promised, no later one could be written."""
    over = pb.Ballot(number=BALLOT_MAX + 1)
    with pytest.raises(WireError, match="ballot"):
        decode_question(pb.EpochRequest(prepare=over))
    for reply in (pb.EpochReply(refused=over), pb.EpochReply(accepted=over)):
        with pytest.raises(WireError, match="ballot"):
            decode_answer(reply, PREPARE)
    with pytest.raises(WireError, match="ballot"):
        decode_state(7, pb.EpochState(promised=over).SerializeToString())


@pytest.mark.slow
@examples(200)
@given(damages(QUESTION_BYTES) | damages(ANSWER_BYTES))
def test_damaged_messages_are_refused_or_make_sense(data: bytes) -> None:
    try:
        question = decode_question(pb.EpochRequest.FromString(data))
    except (WireError, DecodeError):
        pass
    else:
        assert said(question) == question
    try:
        reply = decode_answer(pb.EpochReply.FromString(data), PREPARE)
    except (WireError, DecodeError):
        return
    assert answered(reply) == reply


# --- what a voter keeps ---


FRESH: AcceptorState[ClusterMetadata] = AcceptorState(7)


def voting() -> AcceptorState[ClusterMetadata]:
    """A voter of the first epoch that has accepted a value for the second one."""
    state = adopt(FRESH, formed("abc"))
    value = accepted_value(state)
    state, _ = answer(state, Accept(CLUSTER_ID, 1, 7, BALLOT, value))
    assert state.accepted == (BALLOT, value)
    return state


def accepted_value(state: AcceptorState[ClusterMetadata]) -> ClusterMetadata:

    assert state.decided is not None
    return changes.join(state.decided, member("d", 9))


def test_each_state_comes_back_as_it_was_kept() -> None:
    whole = voting()
    promised, _ = answer(FRESH, Prepare(b"", 0, 7, BALLOT))
    first, _ = answer(FRESH, Accept(CLUSTER_ID, 0, 7, BALLOT, forming()))
    assert first.accepted is not None
    later, _ = answer(whole, Prepare(CLUSTER_ID, 1, 7, Ballot(8, 1)))
    assert later.promised > BALLOT
    for state in (whole, FRESH, promised, first, later, adopt(whole, accepted_value(whole))):
        data = encode_state(state)
        assert decode_state(7, data) == state
        assert encode_state(decode_state(7, data)) == data


def forming() -> ClusterMetadata:

    return changes.first_epoch(CLUSTER_ID, bytes(16), [member("a", 7), member("b", 8)], [])


Spoil = Callable[[pb.EpochState], object]

SPOILED: dict[str, Spoil] = {
    "no promise": lambda it: it.ClearField("promised"),
    "a promise below what was accepted": lambda it: setattr(it.promised, "number", 2),
    "a value of another instance": lambda it: setattr(it.accepted.value, "epoch", 3),
    "a value of the first instance": lambda it: it.ClearField("decided"),
    "an accepted value that makes no sense": lambda it: setattr(it.accepted.value, "key", b""),
    "an epoch that makes no sense": lambda it: setattr(it.decided, "epoch", 0),
    "an epoch of another form": lambda it: setattr(it.decided, "format", 9),
    "an accepted value of another cluster": lambda it: setattr(it.accepted.value, "cluster_id", bytes(16)),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_state_that_makes_no_sense_is_refused(spoil: Spoil) -> None:
    message = pb.EpochState.FromString(encode_state(voting()))
    spoil(message)
    with pytest.raises(WireError):
        decode_state(7, message.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x05abc", b"yes"])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    """Above all an empty note is not a voter that has promised nothing."""
    with pytest.raises(WireError):
        decode_state(7, data)


@pytest.mark.slow
@examples(200)
@given(damages(encode_state(voting())))
def test_a_damaged_state_is_refused_or_makes_sense(data: bytes) -> None:
    try:
        state = decode_state(7, data)
    except WireError:
        return
    assert decode_state(7, encode_state(state)) == state
    if state.accepted is not None:
        assert state.accepted[0] <= state.promised
        assert state.accepted[1].epoch == state.instance + 1
