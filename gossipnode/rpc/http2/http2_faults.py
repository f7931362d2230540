"""What a peer does against HTTP/2: a fault ends its connection, or one stream, with an error code.

The two exceptions never leave the connection on which the peer broke the rule.
"""

from h2.errors import ErrorCodes

__all__ = ["ConnectionFault", "ErrorCodes", "OversizedHead", "StreamFault"]


class ConnectionFault(Exception):  # noqa: N818 - the peer's fault, not an error of ours
    """The peer broke the protocol, and the whole connection must end with `code`."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):  # noqa: N818
    """The peer broke the protocol within one stream, which must be reset with `code`."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


class OversizedHead(StreamFault):
    """The peer sent more header fields than this end takes. The header tables of both ends still agree."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        text = f"metadata of {size_bytes} bytes exceeds the limit of {limit_bytes}"
        super().__init__(ErrorCodes.ENHANCE_YOUR_CALM, text)
