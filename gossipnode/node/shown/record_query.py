"""Queries of the status page: a few records of a group, read as any client would read them."""

from __future__ import annotations

from typing import Any, Final

import trio

from gossipnode.concurrency.shares import Caller, Shares
from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import IntArray, NoValue, StrArray, TagValue, Timestamp
from gossipnode.core.model.timestamp_text import format_timestamp
from gossipnode.core.query.criteria import InvalidCriteriaError
from gossipnode.core.query.expression import parse_expression
from gossipnode.core.query.query import Query
from gossipnode.node.query.queries import Queries
from gossipnode.node.refusals.error_status import as_status
from gossipnode.observe.node_view import PageQuery, PageRecords, QueryRefusedError
from gossipnode.rpc import RpcError
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError

QUERIES_AT_ONCE: Final = 2
"""Queries of pages under way, half of them of one caller at most. One more is refused: clients come first."""

QUERY_SECONDS: Final = 10.0
RECORDS_SHOWN: Final = 50
"""Unless the page asks for another number, of `RECORDS_SHOWN_MAX` at most."""

RECORDS_SHOWN_MAX: Final = 500
BYTES_SHOWN: Final = 4 << 20
"""Of the records of one answer, as they are stored."""

VALUE_MAX_CHARACTERS: Final = 500
"""Of a value that is shown; the rest is cut off, which shows."""

TAGS_SHOWN: Final = 64


class RecordQueries:
    """Carries out the queries of pages, a few at once."""

    def __init__(self, queries: Queries) -> None:
        """Ask by `queries`."""
        self._queries = queries
        self._under_way = Shares(QUERIES_AT_ONCE)

    async def ask(self, asked: PageQuery, caller: Caller) -> PageRecords:
        """The records that `caller` asks for.

        Raises:
            QueryRefusedError: it is wrong, or cannot be answered now; the text says why.
        """
        limit = _limit(asked.limit)
        query = _query(asked, limit)
        if not self._under_way.may_take(caller):
            raise QueryRefusedError("other queries of pages are under way: try again")
        self._under_way.take(caller)
        try:
            with trio.fail_after(QUERY_SECONDS), as_status():
                found, cut = await self._read(query)
                return PageRecords([_shown(record) for record in found[:limit]], cut or len(found) > limit)
        except trio.TooSlowError:
            raise QueryRefusedError(f"no answer in {QUERY_SECONDS:g} s") from None
        except RpcError as error:
            raise QueryRefusedError(error.message or error.status.name) from None
        finally:
            self._under_way.give_back(caller)

    async def _read(self, query: Query) -> tuple[list[Record], bool]:
        """The records, and whether they became too many bytes before the query was answered."""
        records: list[Record] = []
        size = 0
        async with self._queries.open(query) as answer:
            while (page := await answer.next_page()) is not None:
                records += page
                size += sum(len(record.payload) for record in page)
                if size > BYTES_SHOWN:
                    return records, True
        return records, False


def _query(asked: PageQuery, limit: int) -> Query:
    try:
        criteria = parse_expression(asked.where) if asked.where.strip() else None
    except InvalidCriteriaError as error:
        raise QueryRefusedError(f"where: {error}") from None
    if asked.desc and not asked.order_by:
        raise QueryRefusedError("the largest first: say by which tag")
    return Query(
        (asked.group,),
        name=asked.name,
        ids=frozenset([asked.id]) if asked.id else frozenset[str](),
        criteria=criteria,
        order_by=asked.order_by,
        descending=bool(asked.desc),
        # One more tells whether there are more.
        limit=limit + 1,
    )


def _limit(text: str) -> int:
    if not text:
        return RECORDS_SHOWN
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= RECORDS_SHOWN_MAX):
        raise QueryRefusedError(f"limit: expected a number from 1 to {RECORDS_SHOWN_MAX}, got {text[:40]!r}")
    return int(text)


def _shown(record: Record) -> dict[str, Any]:
    entity = record.entity
    try:
        tags = list(read_tags(record.payload).items())
        problem = "" if len(tags) <= TAGS_SHOWN else f"{len(tags) - TAGS_SHOWN} more tags"
    except WireError as error:
        tags, problem = [], str(error)
    return {
        "key": entity.text,
        # A number of JavaScript would lose the last digits.
        "revision": str(record.version.mod_revision),
        "tags": [[name, _value(value)] for name, value in tags[:TAGS_SHOWN]],
        "problem": problem,
    }


def _value(value: TagValue) -> str:
    """A value as text, in the form that the command line takes it."""
    match value:
        case None | NoValue():
            text = "null"
        case bytes():
            text = f"0x{value[:VALUE_MAX_CHARACTERS].hex()}"
        case StrArray() | IntArray():
            text = f"[{', '.join(map(str, value))}]"
        case Timestamp():
            text = format_timestamp(value)
        case _:
            text = str(value)
    return text if len(text) <= VALUE_MAX_CHARACTERS else f"{text[:VALUE_MAX_CHARACTERS]}…"
