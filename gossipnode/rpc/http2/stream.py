"""One HTTP/2 stream, at either end: what arrived and is unread, what may be sent, and how it ended.

Pure state, which its connection changes. Bytes stay as they came until a task asks for messages, and only
then does the peer get its window back: that is all the back-pressure there is. So a stream never holds more
than one window or one message.
"""

from typing import Final, Protocol

from gossipnode.rpc.head import Head
from gossipnode.rpc.metadata import status_error
from gossipnode.rpc.status import NO_METADATA, Metadata, RpcError, Status


class Wakeable(Protocol):
    """A task that sleeps until the state it looks at has changed, and attached itself there for as long.

    That is all that the state knows of the tasks that wait for it: it needs no Trio, and a test can attach a
    list.
    """

    def wake(self) -> None:
        """Let the task look at the state again. Harmless if the task is awake."""


class _Nobody:
    __slots__ = ()

    def wake(self) -> None:
        """Nobody sleeps here."""


#: Stands where no task waits.
NOBODY: Final[Wakeable] = _Nobody()


class Cancellable(Protocol):
    """Work that a stream which fails must stop, such as the handler of its call."""

    def cancel(self) -> None:
        """Stop the work."""


class Stream:
    """The state of one stream. One task may receive and another may send at the same time."""

    __slots__ = (
        "at_client",
        "body_left",
        "bytes_received",
        "bytes_sent",
        "cut_off",
        "ending",
        "error",
        "expected",
        "handed",
        "head",
        "headers_sent",
        "id",
        "inbound",
        "local_ended",
        "max_message_bytes",
        "promised",
        "reader",
        "receive_window",
        "remote_ended",
        "scope",
        "send_window",
        "sender",
        "sending",
        "starved",
        "trailers",
    )

    def __init__(self, stream_id: int, send_window: int, receive_window: int, *, at_client: bool) -> None:
        self.id = stream_id
        self.at_client = at_client
        self.head: Head | None = None
        self.trailers: Head | None = None
        self.inbound = bytearray()
        # Bytes of the messages that its reader was given last.
        self.handed = 0
        # What the peer was promised beyond its first window, of what is here and what it may still send.
        self.promised = 0
        # What was expected on it before anybody reads, as far as there was memory for that when it began.
        self.expected = 0
        # Whether the reader waits for a message for which there is no memory now.
        self.starved = False
        self.receive_window = receive_window
        self.send_window = send_window
        # What is left of the body whose length the peer announced; None if it announced none.
        self.body_left: int | None = None
        self.remote_ended = False
        # Whether this end reset the stream before the peer had ended it: what is on its way then is no fault.
        self.cut_off = False
        self.local_ended = False
        self.headers_sent = False
        self.error: RpcError | None = None
        # The status with which this end has decided to end the call, although its work is not done.
        self.ending: RpcError | None = None
        # The tasks that wait, one for what arrives and one for room to send.
        self.reader: Wakeable = NOBODY
        self.sender: Wakeable = NOBODY
        # Whether a task is in the middle of a message that did not fit at once.
        self.sending = False
        self.scope: Cancellable | None = None
        # The largest message that its reader takes; None for that of every stream of the connection.
        self.max_message_bytes: int | None = None
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def initial_metadata(self) -> Metadata:
        """The metadata of the peer's first header block; empty before it came."""
        return self.head.metadata if self.head is not None else NO_METADATA

    @property
    def gzip(self) -> bool:
        """Whether the peer said that it may compress its messages with gzip."""
        return self.head is not None and self.head.fields.get("grpc-encoding") == "gzip"

    @property
    def trailing_metadata(self) -> Metadata:
        """The metadata of the peer's trailers; empty before they came."""
        return self.trailers.metadata if self.trailers is not None else NO_METADATA

    def check_end(self) -> None:
        """Raise RpcError if the peer's half of the stream, which has ended, did not end well."""
        if self.at_client:
            if self.trailers is None:
                raise RpcError(Status.UNKNOWN, "the peer ended the call without a status")
            if (error := status_error(self.trailers)) is not None:
                raise error
        if self.inbound:
            raise RpcError(Status.INTERNAL, "the stream ended in the middle of a message")

    def check_open(self) -> None:
        """Raise RpcError if nothing more can be sent."""
        if self.error is not None:
            raise self.error
        if self.remote_ended and self.at_client:
            self.check_end()
            raise RpcError(Status.CANCELLED, "the server ended the call without reading everything")
        if self.local_ended:
            raise RpcError(Status.INTERNAL, "this end has already ended its side of the call")

    def end_with(self, status: RpcError) -> None:
        """Stop the work of the call at the server, and answer it with `status`."""
        if self.ending is None:
            self.ending = status
        if self.scope is not None:
            self.scope.cancel()

    def fail(self, error: RpcError) -> None:
        """End the stream for the tasks that use it: they meet `error` at their next step."""
        if self.error is None:
            self.error = error
        self.reader.wake()
        self.sender.wake()
        if self.scope is not None:
            self.scope.cancel()
