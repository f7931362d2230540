"""What makes a request or a response malformed (RFC 9113, 8.1 to 8.3): its stream is reset, and no more."""

import pytest

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.status import Status
from tests.rpc.http2.rules.frames_in import ANSWER, FedClient, FedServer, data

POST, SCHEME, PATH = (":method", "POST"), (":scheme", "http"), (":path", "/x/y")
GRPC = ("content-type", "application/grpc")
MALFORMED = "RST 1 PROTOCOL_ERROR"

BAD_REQUESTS = {
    "no scheme": [POST, PATH, GRPC],
    "no method": [SCHEME, PATH, GRPC],
    "empty path": [POST, SCHEME, (":path", ""), GRPC],
    "method after a field": [SCHEME, PATH, GRPC, POST],
    "authority twice": [POST, SCHEME, PATH, (":authority", "a"), (":authority", "b")],
    "unknown pseudo-header": [POST, SCHEME, PATH, (":protocol", "websocket")],
    "te": [POST, SCHEME, PATH, ("te", "gzip"), GRPC],
    "te and more": [POST, SCHEME, PATH, ("te", "trailers, deflate"), GRPC],
    "te twice": [POST, SCHEME, PATH, ("te", "trailers"), ("te", "gzip"), GRPC],
    **{
        name: [POST, SCHEME, PATH, (name, "x")]
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
    },
    "content-length": [POST, SCHEME, PATH, ("content-length", "-1")],
    "no content-length": [POST, SCHEME, PATH, ("content-length", "")],
    "two content-lengths": [POST, SCHEME, PATH, ("content-length", "5"), ("content-length", "6")],
    "an immense content-length": [POST, SCHEME, PATH, ("content-length", "9" * 5000)],
}


@pytest.mark.parametrize("name", list(BAD_REQUESTS))
def test_a_malformed_request(name):
    server = FedServer()
    assert server.send(server.headers(1, BAD_REQUESTS[name])) == [MALFORMED]
    assert server.calls == []
    assert server.send(server.request(3)) == []
    assert len(server.calls) == 1


@pytest.mark.parametrize("extra", [[("te", "trailers")], [("te", "Trailers")], []])
def test_requests_that_are_not(extra):
    server = FedServer()
    assert server.send(server.headers(1, [POST, (":scheme", "https"), PATH, *extra, GRPC])) == []
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        ([b"12345"], True),
        ([b"12", b"", b"345"], True),
        ([b"1234"], False),
        ([b"12", b"3456"], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("ending", ["the last data", "empty data", "trailers"])
def test_a_body_is_as_long_as_its_content_length(parts, fits, ending):
    server = FedServer()
    sent = [server.request(1, ("content-length", "5"))]
    sent += [data(1, part, end=part is parts[-1] and ending == "the last data") for part in parts]
    if ending == "trailers":
        sent.append(server.headers(1, [("x", "y")], end=True))
    elif ending == "empty data" or not parts:
        sent.append(data(1, end=True))
    assert server.send(*sent) == ([] if fits else [MALFORMED])


def test_padding_is_no_part_of_a_body():
    server = FedServer()
    padded = frames.frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\x03" + b"12345" + bytes(3))
    assert server.send(server.request(1, ("content-length", "5")), padded) == []


def test_a_request_that_ends_with_its_head_has_no_body():
    server = FedServer()
    assert server.send(server.request(1, ("content-length", "0"), end=True)) == []
    assert server.send(server.request(3, ("content-length", "1"), end=True)) == ["RST 3 PROTOCOL_ERROR"]
    assert [stream.id for stream in server.calls] == [1]


BAD_RESPONSES = {
    "no status": [("content-type", "application/grpc")],
    "a path": [(":status", "200"), (":path", "/x"), ("content-type", "application/grpc")],
    "a wrong content-length": [*ANSWER, ("content-length", "1")],
}


@pytest.mark.parametrize("name", list(BAD_RESPONSES))
def test_a_malformed_response(name):
    client = FedClient()
    assert client.send(client.headers(1, BAD_RESPONSES[name], end=True)) == [MALFORMED]
    assert client.stream.error is not None
    assert client.stream.error.status is Status.INTERNAL


def test_a_body_before_its_head():
    client = FedClient()
    assert client.send(data(1, b"x")) == [MALFORMED]


@pytest.mark.parametrize("trailers", [[("x", "y")], [(":path", "/x/y")]])
def test_trailers_end_the_stream_and_have_no_pseudo_headers(trailers):
    server = FedServer()
    assert server.send(server.request(1), server.headers(1, trailers, end=len(trailers[0][0]) > 1)) == [
        MALFORMED
    ]
