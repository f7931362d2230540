"""Queries of the status page: a few records of a group, read as any client would read them."""

from __future__ import annotations

from typing import Any, Final

import trio

from gossipnode.concurrency.shares import Caller, Shares
from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import IntArray, NoValue, StrArray, TagValue, Timestamp
from gossipnode.core.query.query import Query
from gossipnode.node.query.queries import Queries
from gossipnode.node.refusals.error_status import as_status
from gossipnode.observe.node_view import PageQuery, QueryRefusedError
from gossipnode.rpc import RpcError
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError

QUERIES_AT_ONCE: Final = 2
"""Queries of pages under way, half of them of one caller at most. One more is refused: clients come first."""

QUERY_SECONDS: Final = 10.0
RECORDS_SHOWN: Final = 50
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

    async def ask(self, asked: PageQuery, caller: Caller) -> list[dict[str, Any]]:
        """The records that `caller` asks for, as values that JSON can hold.

        Raises:
            QueryRefusedError: it is wrong, or cannot be answered now; the text says why.
        """
        if not self._under_way.may_take(caller):
            raise QueryRefusedError("other queries of pages are under way: try again")
        ids = frozenset([asked.id]) if asked.id else frozenset[str]()
        query = Query((asked.group,), name=asked.name, ids=ids, limit=RECORDS_SHOWN)
        self._under_way.take(caller)
        try:
            with trio.fail_after(QUERY_SECONDS), as_status():
                return [_shown(record) for record in await self._read(query)]
        except trio.TooSlowError:
            raise QueryRefusedError(f"no answer in {QUERY_SECONDS:g} s") from None
        except RpcError as error:
            raise QueryRefusedError(error.message or error.status.name) from None
        finally:
            self._under_way.give_back(caller)

    async def _read(self, query: Query) -> list[Record]:
        records: list[Record] = []
        size = 0
        async with self._queries.open(query) as answer:
            while (page := await answer.next_page()) is not None:
                records += page
                size += sum(len(record.payload) for record in page)
                if size > BYTES_SHOWN:
                    break
        return records


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
            text = f"{value.seconds}.{value.nanos:09d} s"
        case _:
            text = str(value)
    return text if len(text) <= VALUE_MAX_CHARACTERS else f"{text[:VALUE_MAX_CHARACTERS]}…"
