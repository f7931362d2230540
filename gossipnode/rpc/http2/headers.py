"""Header blocks: HPACK, with a memory of the blocks that repeat.

hpack takes 3 to 4 us a field, which is more than all else of a small call. But nearly every block of a busy
connection consists of indexed fields only: such a block changes no table, so its meaning holds until a block
that does change one. The only module that touches hpack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from grpclib.metadata import decode_bin_value
from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError

from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import ConnectionFault, ErrorCodes, Metadata, MetadataValue, StreamFault

Fields = tuple[tuple[bytes, bytes], ...]

# An octet of this value or above starts an indexed field (RFC 7541, 6.1) and, if all octets of a block are,
# each of them is one whole field.
_INDEXED: Final = 0x80
# Literals without indexing have a length prefix of seven bits (RFC 7541, 5.1).
_SHORT_LENGTH: Final = 0x7F
_FORBIDDEN = frozenset(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"])
_NOT_METADATA = frozenset(["te", "content-type", "user-agent"])


@dataclass(frozen=True, slots=True)
class Head:
    """One decoded header block: pseudo-headers, the protocol's own fields, and the user's metadata."""

    pseudo: Mapping[str, str]
    fields: Mapping[str, str]
    metadata: Metadata


def _length(size: int) -> bytes:
    if size < _SHORT_LENGTH:
        return bytes((size,))
    rest, octets = size - _SHORT_LENGTH, bytearray((_SHORT_LENGTH,))
    while rest >= _INDEXED:
        octets.append(rest & _SHORT_LENGTH | _INDEXED)
        rest >>= 7
    octets.append(rest)
    return bytes(octets)


class HeaderEncoder:
    """Encodes header blocks for one direction of one connection."""

    __slots__ = ("_blocks", "_encoder", "_max_blocks")

    def __init__(self, limits: Limits) -> None:
        self._encoder = Encoder()
        self._blocks: dict[Fields, bytes] = {}
        self._max_blocks = limits.max_cached_header_blocks

    def encode(self, fields: Fields, once: Sequence[tuple[str, str]] = ()) -> bytes:
        """The block of `fields`, which are worth a place in the table, and of `once`, which are not."""
        block = self._blocks.get(fields)
        if block is None:
            block = self._encode_anew(fields)
        if not once:
            return block
        literals = [
            b"\0%b%b%b%b" % (_length(len(name)), name.encode(), _length(len(value)), value.encode())
            for name, value in once
        ]
        return block + b"".join(literals)

    def _encode_anew(self, fields: Fields) -> bytes:
        block = self._encoder.encode(fields)
        if min(block) < _INDEXED or len(self._blocks) >= self._max_blocks:
            self._blocks.clear()  # a literal was added to the table: every index moved
        else:
            self._blocks[fields] = block
        return block

    def resize(self, table_bytes: int) -> None:
        """The peer allows a table of `table_bytes`; ours never grows above HPACK's default."""
        self._encoder.header_table_size = min(table_bytes, 4096)
        self._blocks.clear()


class HeaderDecoder:
    """Decodes header blocks of one direction of one connection."""

    __slots__ = ("_decoder", "_heads", "_max_heads")

    def __init__(self, limits: Limits) -> None:
        self._decoder = Decoder(limits.max_header_list_bytes)
        self._heads: dict[bytes, Head] = {}
        self._max_heads = limits.max_cached_header_blocks

    def decode(self, block: bytes) -> Head:
        """The head that `block` encodes.

        Raises ConnectionFault where the tables of both ends no longer agree, and StreamFault where the
        block was read but is no valid head (RFC 9113, 8.1.1).
        """
        head = self._heads.get(block)
        return self._decode_anew(block) if head is None else head

    def _decode_anew(self, block: bytes) -> Head:
        table = self._decoder.header_table
        newest, size = table.dynamic_entries[0] if table.dynamic_entries else None, table.maxsize
        try:
            pairs = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(ErrorCodes.COMPRESSION_ERROR, f"bad header block: {error}") from error
        entries = table.dynamic_entries
        if size != table.maxsize or newest is not (entries[0] if entries else None):
            self._heads.clear()
        head = parse_head([(bytes(name), bytes(value)) for name, value in pairs])
        if block and min(block) >= _INDEXED and len(self._heads) < self._max_heads:
            self._heads[block] = head
        return head


def parse_head(pairs: Sequence[tuple[bytes, bytes]]) -> Head:
    """Sorts decoded fields. Raises StreamFault for what makes a message malformed."""
    pseudo: dict[str, str] = {}
    fields: dict[str, str] = {}
    metadata: dict[str, MetadataValue] = {}
    for raw_name, raw_value in pairs:
        try:
            name, value = raw_name.decode("ascii"), raw_value.decode("ascii")
        except UnicodeDecodeError:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a header is not ASCII") from None
        if not name or name != name.lower() or name in _FORBIDDEN or not value.isprintable():
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"header {name!r} is not allowed")
        if name[0] == ":":
            if fields or metadata or name in pseudo:
                raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"pseudo-header {name} is repeated or late")
            pseudo[name] = value
        elif name in _NOT_METADATA or name.startswith("grpc-"):
            fields[name] = value
        else:
            _add_metadata(metadata, name, value)
    return Head(MappingProxyType(pseudo), MappingProxyType(fields), MappingProxyType(metadata))


def _add_metadata(metadata: dict[str, MetadataValue], name: str, value: str) -> None:
    """A repeated text key is one comma-separated value (RFC 9110, 5.2); of a binary key the last counts."""
    if name.endswith("-bin"):
        try:
            metadata[name] = decode_bin_value(value.encode())
        except ValueError:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, f"metadata {name} is not base64") from None
    else:
        known = metadata.get(name)
        metadata[name] = value if known is None else f"{known!s},{value}"
