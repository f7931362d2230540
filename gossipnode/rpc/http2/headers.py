"""Header blocks: HPACK (RFC 7541), with a memory of the blocks that repeat.

hpack takes 3 to 4 us a field, which is more than all else of a small call. But nearly every block of a busy
connection consists of indexed fields only. Such a block changes no table, so the same bytes mean the same
until another block changes the table. So it is with a block that ends in literals which get no place in the
table, such as metadata that a caller sends with every call; but they may differ each time, so that only the
latest of such blocks is remembered. This is the only module that imports hpack.
"""

import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hpack import Decoder, Encoder, HeaderTuple, HPACKError, OversizedHeaderListError

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.head import Fields, Head
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes, OversizedHead, StreamFault
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.metadata import CONNECTION_FIELDS
from gossipnode.rpc.status import MetadataValue

# An octet of this value or above starts an indexed field (RFC 7541, 6.1). If every octet of a block is of
# this kind, each one is a whole field.
_INDEXED: Final = 0x80
# An octet whose upper three bits are these begins a change of the table's size (RFC 7541, 6.3).
_RESIZE: Final = 0x20
_RESIZE_MASK: Final = 0xE0
# The length of a literal has a prefix of seven bits; the rest follows in groups of seven (RFC 7541, 5.1).
_LENGTH_BITS: Final = 7
_SHORT_LENGTH: Final = 0x7F
# HPACK's default, above which our own table never grows.
_MAX_TABLE_BYTES: Final = 4096
_FIELD_OVERHEAD_BYTES: Final = 32
# Base64 comes in groups of as many characters.
_BASE64_CHARS: Final = 4
_PSEUDO = frozenset([":method", ":scheme", ":authority", ":path", ":status"])
# The characters of a field's name, all of them lower case (RFC 9110, 5.6.2; RFC 9113, 8.2.1), and those that
# no value has: controls but the tab. Octets beyond ASCII are opaque, so each stands for one character.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_NO_VALUE: Final = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
_NOT_METADATA = frozenset(["te", "content-type", "content-length", "user-agent"])
# What a head that is remembered takes in memory, as a multiple of the bytes of its block and fields.
_HEAD_FACTOR: Final = 4
# More digits than any length needs. Python converts no number of thousands of them.
_CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,18}")


def _length(size: int) -> bytes:
    if size < _SHORT_LENGTH:
        return bytes((size,))
    rest, octets = size - _SHORT_LENGTH, bytearray((_SHORT_LENGTH,))
    while rest >= _INDEXED:
        octets.append(rest & _SHORT_LENGTH | _INDEXED)
        rest >>= _LENGTH_BITS
    octets.append(rest)
    return bytes(octets)


@dataclass(slots=True)
class UnfinishedBlock:
    """A header block of which CONTINUATION frames are still to come (RFC 9113, 6.10)."""

    stream_id: int
    data: bytearray
    ends_stream: bool
    continuations: int = 0

    def add(self, payload: bytes, limits: Limits) -> None:
        """Add one CONTINUATION. Raises ConnectionFault when the block grows beyond its limits."""
        self.continuations += 1
        self.data += payload
        if (
            self.continuations > limits.max_continuation_frames
            or len(self.data) > limits.max_header_block_bytes
        ):
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "header block without end")


class HeaderEncoder:
    """Encodes the header blocks of one direction of one connection."""

    __slots__ = ("_blocks", "_encoder", "_max_blocks", "_resize")

    def __init__(self, limits: Limits) -> None:
        self._encoder = Encoder()
        self._blocks: dict[Fields, bytes] = {}
        self._max_blocks = limits.max_cached_header_blocks
        # The smallest and the last size of the peer's table since the last block; None if it did not change.
        self._resize: tuple[int, int] | None = None

    def encode(self, fields: Fields, once: Sequence[tuple[str, str]] = ()) -> bytes:
        """The block of `fields`, which get a place in HPACK's table, and of `once`, which get none."""
        if self._resize is not None:
            self._apply_resize(self._resize)
        block = self._blocks.get(fields)
        if block is None:
            block = self._encode_unknown(fields)
        if not once:
            return block
        literals = [
            b"\0%b%b%b%b" % (_length(len(name)), name.encode(), _length(len(value)), value.encode())
            for name, value in once
        ]
        return block + b"".join(literals)

    def _encode_unknown(self, fields: Fields) -> bytes:
        block = self._encoder.encode(fields)
        if min(block) < _INDEXED or len(self._blocks) >= self._max_blocks:
            self._blocks.clear()  # a literal was added to the table, which moved every index
        else:
            self._blocks[fields] = block
        return block

    def resize(self, smallest_bytes: int, last_bytes: int) -> None:
        """The peer's table shrank to `smallest_bytes` and has `last_bytes` now.

        Our own table follows it, but never grows beyond HPACK's default.

        Only the smallest and the last of all sizes since the last block are kept, and the next block begins
        with them (RFC 7541, 4.2): so a peer that changes its mind in every frame costs nothing.
        """
        smallest, last = min(smallest_bytes, _MAX_TABLE_BYTES), min(last_bytes, _MAX_TABLE_BYTES)
        if self._resize is not None:
            smallest = min(smallest, self._resize[0])
        assert smallest <= last, "the last size is one of those of which the smallest is taken"
        self._resize = smallest, last

    def _apply_resize(self, sizes: tuple[int, int]) -> None:
        """Let hpack use the sizes, which it then tells the peer. A size that changes nothing is not told."""
        self._resize = None
        for size in sizes:
            if size != self._encoder.header_table_size:
                self._encoder.header_table_size = size
                self._blocks.clear()


class HeaderDecoder:
    """Decodes the header blocks of one direction of one connection."""

    __slots__ = ("_decoder", "_heads", "_heads_bytes", "_latest", "_limits", "_memory")

    def __init__(self, limits: Limits, memory: MemoryAccount) -> None:
        self._memory = memory
        self._decoder = Decoder(limits.max_refused_list_bytes)
        self._limits = limits
        self._heads: dict[bytes, Head] = {}
        # The latest block with literals, among the heads, and what it counts.
        self._latest: tuple[bytes, int] | None = None
        # The blocks and the fields of `_heads`, as they count against the limit.
        self._heads_bytes = 0

    def decode(self, block: bytes) -> Head:
        """The head that `block` encodes.

        Raises ConnectionFault if the tables of both ends no longer agree, and StreamFault if the block was
        decoded but is no valid head (RFC 9113, 8.1.1): an OversizedHead if it is too large.
        """
        head = self._heads.get(block)
        return self._decode_unknown(block) if head is None else head

    def _decode_unknown(self, block: bytes) -> Head:
        table = self._decoder.header_table
        newest, size = table.dynamic_entries[0] if table.dynamic_entries else None, table.maxsize
        try:
            pairs = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "header block of too many fields") from error
        except (HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(ErrorCodes.COMPRESSION_ERROR, "bad header block") from error
        entries = table.dynamic_entries
        changed = size != table.maxsize or newest is not (entries[0] if entries else None)
        if changed:
            self._forget_all()
        size = sum(map(_field_bytes, pairs))
        if size > self._limits.max_header_list_bytes:
            raise OversizedHead(size, self._limits.max_header_list_bytes)
        head = parse_head([(bytes(name), bytes(value)) for name, value in pairs])
        if block and min(block) >= _INDEXED:
            self._remember(block, head, size)
        elif block and not changed and block[0] & _RESIZE_MASK != _RESIZE:
            self._forget_latest()
            if self._remember(block, head, size):
                self._latest = block, len(block) + size
        return head

    def _forget_all(self) -> None:
        self._heads.clear()
        self._memory.give_back(self._heads_bytes * _HEAD_FACTOR)
        self._heads_bytes = 0
        self._latest = None

    def _forget_latest(self) -> None:
        if self._latest is not None:
            block, head_bytes = self._latest
            self._latest = None
            del self._heads[block]
            self._memory.give_back(head_bytes * _HEAD_FACTOR)
            self._heads_bytes -= head_bytes

    def _remember(self, block: bytes, head: Head, size: int) -> bool:
        """Keep `head` if there is room; gives whether. A block of a few bytes may name many long fields."""
        head_bytes = len(block) + size
        fits = self._heads_bytes + head_bytes <= self._limits.max_cached_head_bytes
        fits = fits and self._memory.fits(head_bytes * _HEAD_FACTOR)
        if not fits or len(self._heads) >= self._limits.max_cached_header_blocks:
            return False
        self._memory.take(head_bytes * _HEAD_FACTOR)
        self._heads[block] = head
        self._heads_bytes += head_bytes
        return True


def _field_bytes(pair: HeaderTuple) -> int:
    """What a field counts against the limit, and in HPACK's tables (RFC 9113, 6.5.2)."""
    return len(pair[0]) + len(pair[1]) + _FIELD_OVERHEAD_BYTES


def parse_head(pairs: Sequence[tuple[bytes, bytes]]) -> Head:
    """Sort decoded fields into a head. Raises StreamFault for a field that makes the message malformed."""
    pseudo: dict[str, str] = {}
    fields: dict[str, str] = {}
    metadata: dict[str, MetadataValue] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in _PSEUDO:
            if fields or metadata or name in pseudo:
                raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"pseudo-header {name} is repeated or late")
            pseudo[name] = _ascii(name, value)
        elif name in CONNECTION_FIELDS or not _NAME.fullmatch(name) or _NO_VALUE.search(value):
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"header {name!r} is not allowed")
        elif name in _NOT_METADATA or name.startswith("grpc-"):
            _add_field(fields, name, _ascii(name, value))
        else:
            _add_metadata(metadata, name, value)
    return Head(MappingProxyType(pseudo), MappingProxyType(fields), MappingProxyType(metadata))


def _add_field(fields: dict[str, str], name: str, value: str) -> None:
    """Add a field of the protocol's own. Of a repeated one, the last value counts."""
    if name == "te" and value.lower() != "trailers":
        raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "te asks for more than trailers")
    if name == "content-length" and (
        not _CONTENT_LENGTH.fullmatch(value) or fields.get(name, value) != value
    ):
        raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "content-length is not one length")
    fields[name] = value


def content_length(head: Head) -> int | None:
    """How many bytes of body a head announces; None if it does not say."""
    value = head.fields.get("content-length")
    return None if value is None else int(value)


def _ascii(name: str, value: str) -> str:
    """The value of a field that this package reads itself. Raises StreamFault if it is not ASCII."""
    if not (value.isascii() and value.isprintable()):
        raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"header {name} is not printable ASCII")
    return value


def _add_metadata(metadata: dict[str, MetadataValue], name: str, value: str) -> None:
    """Add one value: a repeated text key becomes one comma-separated value (RFC 9110, 5.2).

    A binary value may be several, joined by commas; of those and of a repeated key, the last value counts.
    """
    if name.endswith("-bin"):
        try:
            metadata[name] = [_decode_base64(part) for part in value.split(",")][-1]
        except ValueError:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"metadata {name} is not base64") from None
    else:
        known = metadata.get(name)
        metadata[name] = value if known is None else f"{known!s},{value}"


def _decode_base64(text: str) -> bytes:
    """The bytes of a binary value, with or without padding. Raises ValueError if it is not base64."""
    bare = text.strip(" ").rstrip("=")
    return b64decode(bare + "=" * (-len(bare) % _BASE64_CHARS), validate=True)
