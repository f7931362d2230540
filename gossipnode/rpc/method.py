"""What a method is to both ends: its path, its shape, and how its messages become bytes.

This package never looks into a message: the declaration of a method brings the codecs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from grpclib.const import Cardinality

__all__ = ["Cardinality", "Method", "Reply", "Request"]

#: The types of a method's messages.
Request = TypeVar("Request")
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Reply]):
    """One gRPC method. A decoder raises ValueError for bytes that are not a message of its kind.

    A call of an `endless` method goes on until its client ends it. A server that drains does not wait for it.
    `bytes_of_one` bytes of a request cost as much to decode as one byte of an ordinary one.
    """

    path: str
    cardinality: Cardinality
    encode_request: Callable[[Request], bytes]
    decode_request: Callable[[bytes], Request]
    encode_reply: Callable[[Reply], bytes]
    decode_reply: Callable[[bytes], Reply]
    endless: bool = False
    bytes_of_one: int = 1

    def __post_init__(self) -> None:
        service, _, name = self.path.removeprefix("/").partition("/")
        if not (self.path.startswith("/") and service and name):
            raise ValueError(f"a method's path is /package.Service/Name, not {self.path!r}")
