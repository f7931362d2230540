"""What an application hands to the client library, checked before any node is asked.

Each function returns the value in the form that a request takes, or raises InvalidInputError in one line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, TypeAlias, cast, get_args

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.results import Property
from gossipnode.client.values.tag_checks import check_text
from gossipnode.client.values.tls_files import TlsFiles, client_tls_of
from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.limits import RETENTION_MAX_SECONDS
from gossipnode.core.model.property import Entity, check_entity, parse_entity
from gossipnode.core.query.criteria import Criteria, InvalidCriteriaError, check_criteria
from gossipnode.core.query.expression import parse_expression
from gossipnode.rpc.tls import ClientTls
from gossipnode.wire.query.criteria_codec import encode_criteria
from gossipnode.wire.wire_errors import WireError

ADDRESSES_MAX = 64
"""How many addresses one client may be given."""

Ack: TypeAlias = Literal["local", "one", "quorum", "all"]

_COUNT_MAX = (1 << 32) - 1


def addresses(values: Sequence[str]) -> list[Address]:
    """HOST:PORT texts. An address that is given twice counts once."""
    try:
        parsed = list(dict.fromkeys(parse_address(text("an address", value)) for value in values))
    except AddressError as error:
        raise InvalidInputError(str(error)) from None
    if not 1 <= len(parsed) <= ADDRESSES_MAX:
        raise InvalidInputError(f"connect takes 1 to {ADDRESSES_MAX} addresses, not {len(parsed)}")
    return parsed


def timeout(seconds_: float) -> float:
    """Seconds, above 0."""
    if isinstance(seconds_, bool) or not isinstance(cast("object", seconds_), int | float):
        raise InvalidInputError(f"timeout is a number of seconds, not a {type(seconds_).__name__}")
    if not 0 < seconds_ < math.inf:
        raise InvalidInputError(f"timeout is a number of seconds above 0, not {seconds_:g}")
    return seconds_


def client_tls(tls: TlsFiles | None, server_name: str | None) -> ClientTls | None:
    """The certificates of `tls`, read from their files, and the name to expect in those of nodes."""
    if server_name is not None:
        text("server_name", server_name)
    if tls is None:
        if server_name is not None:
            raise InvalidInputError("server_name is a name in certificates: give tls as well")
        return None
    try:
        return client_tls_of(tls, server_name)
    except InvalidInputError as error:
        raise InvalidInputError(f"tls: {str(error).removeprefix('--')}") from None


def text(what: str, value: str) -> str:
    """Any text that has a UTF-8 form."""
    if not isinstance(cast("object", value), str):
        raise InvalidInputError(f"{what} is a text, not a {type(value).__name__}")
    return check_text(value)


def texts(what: str, values: Sequence[str]) -> list[str]:
    """A list of texts. A single text is refused, because Python would take it for a list of letters."""
    if isinstance(values, str) or not isinstance(cast("object", values), Sequence):
        raise InvalidInputError(f"{what} is a list of texts, not a {type(values).__name__}")
    return [text(f"each of {what}", value) for value in values]


def groups(names: Sequence[str]) -> list[str]:
    """The groups of a query."""
    if not names:
        raise InvalidInputError("a query names one group at least")
    return texts("groups", names)


def name(value: str) -> str:
    """The name of a group or a member."""
    if not text("name", value):
        raise InvalidInputError("name is empty")
    return value


def entity(group: str, name_: str, id_: str) -> Entity:
    """The key of a record."""
    key = Entity(text("group", group), text("name", name_), text("id", id_))
    try:
        check_entity(key)
    except InvalidEntityError as error:
        raise InvalidInputError(str(error)) from None
    return key


def place(after: Property | str | None, asked: Sequence[str]) -> Entity | None:
    """The key of the record after which an answer of the groups asked is to begin."""
    if after is None:
        return None
    if isinstance(after, Property):
        key = Entity(after.group, after.name, after.id)
    else:
        try:
            key = parse_entity(text("after", after))
        except InvalidEntityError as error:
            raise InvalidInputError(f"after: {error}") from None
    if key.group not in asked:
        raise InvalidInputError(f"after: {key.text[:80]!r} is of a group that the query does not ask")
    return key


def limit(value: int | None) -> int | None:
    """How many records at most; None for all."""
    return None if value is None else count("limit", value)


def count(what: str, value: int) -> int:
    """A whole number from 1 to the largest of 32 bits."""
    if isinstance(value, bool) or not isinstance(cast("object", value), int):
        raise InvalidInputError(f"{what} is a whole number, not a {type(value).__name__}")
    if not 1 <= value <= _COUNT_MAX:
        raise InvalidInputError(f"{what} is a number from 1 to {_COUNT_MAX}")
    return value


def seconds(span: timedelta | None) -> int | None:
    """Whole seconds of a span of time."""
    if span is None:
        return None
    if not isinstance(cast("object", span), timedelta):
        raise InvalidInputError(f"tombstone_retention is a timedelta, not a {type(span).__name__}")
    if span < timedelta(seconds=1):
        raise InvalidInputError("tombstone_retention is one second at least")
    if span > timedelta(seconds=RETENTION_MAX_SECONDS):
        raise InvalidInputError(
            f"tombstone_retention is {timedelta(seconds=RETENTION_MAX_SECONDS).days} days at most"
        )
    return int(span.total_seconds())


def ack(level: Ack | None) -> str:
    """An acknowledgement level; empty for the group's own."""
    if level is None:
        return ""
    if level not in get_args(Ack):
        raise InvalidInputError(f"ack is one of {', '.join(get_args(Ack))}, not {level!r:.40}")
    return level


def criteria(where: str | Criteria | None) -> Criteria | None:
    """Criteria, from an expression or as they are given."""
    if where is None:
        return None
    try:
        if isinstance(where, str):
            return parse_expression(where)
        checked = check_criteria(where)
        encode_criteria(checked)
    except (InvalidCriteriaError, WireError) as error:
        raise InvalidInputError(f"where: {error}") from None
    return checked
