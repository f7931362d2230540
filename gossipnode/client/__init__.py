"""The library with which programs read and write the records of a cluster. Begin with `connect`.

    from gossipnode.client import connect

    async with connect("a.example:7400", "b.example:7400") as client:
        await client.apply("services", "web", "web-1", {"port": 8080})

The same code runs under Trio and under asyncio. `cluster_client` is the client itself, `calls` says what one
call does, `transport` reaches a node, `values` are what goes in and comes out; DESIGN.md says why. A name is
imported when it is first used, so that the command line, which needs only the errors, starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gossipnode.client.errors import (
    AlreadyExistsError,
    ClientError,
    FailedError,
    InvalidInputError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    TlsError,
    UnreachableError,
)

if TYPE_CHECKING:
    from gossipnode.client.calls.query_run import Records
    from gossipnode.client.calls.watch_run import WatchEvents
    from gossipnode.client.cluster_client import Client, connect
    from gossipnode.client.values.given import Ack
    from gossipnode.client.values.results import (
        Applied,
        Group,
        GroupChange,
        Member,
        MemberChange,
        Property,
        Spread,
    )
    from gossipnode.client.values.tags import GivenTag, Tag
    from gossipnode.client.values.tls_files import TlsFiles
    from gossipnode.client.values.watched import ExplainedReplica, Explanation, Waited, WatchEvent
    from gossipnode.core.model.tag_value import IntArray, StrArray, Timestamp
    from gossipnode.core.query.criteria import (
        Condition,
        Criteria,
        LogicalExpression,
        LogicalOp,
        MatchOption,
        Op,
    )

__all__ = [
    "Ack",
    "AlreadyExistsError",
    "Applied",
    "Client",
    "ClientError",
    "Condition",
    "Criteria",
    "ExplainedReplica",
    "Explanation",
    "FailedError",
    "GivenTag",
    "Group",
    "GroupChange",
    "IntArray",
    "InvalidInputError",
    "InvalidRequestError",
    "LogicalExpression",
    "LogicalOp",
    "MatchOption",
    "Member",
    "MemberChange",
    "NoNodeError",
    "NotFoundError",
    "Op",
    "Property",
    "Records",
    "RefusedError",
    "Spread",
    "StrArray",
    "Tag",
    "Timestamp",
    "TlsError",
    "TlsFiles",
    "UnreachableError",
    "Waited",
    "WatchEvent",
    "WatchEvents",
    "connect",
]

_HOMES = {
    "gossipnode.client.cluster_client": ("Client", "connect"),
    "gossipnode.client.values.given": ("Ack",),
    "gossipnode.client.calls.query_run": ("Records",),
    "gossipnode.client.calls.watch_run": ("WatchEvents",),
    "gossipnode.client.values.watched": ("ExplainedReplica", "Explanation", "Waited", "WatchEvent"),
    "gossipnode.client.values.results": (
        "Applied",
        "Group",
        "GroupChange",
        "Member",
        "MemberChange",
        "Property",
        "Spread",
    ),
    "gossipnode.client.values.tags": ("GivenTag", "Tag"),
    "gossipnode.client.values.tls_files": ("TlsFiles",),
    "gossipnode.core.query.criteria": (
        "Condition",
        "Criteria",
        "LogicalExpression",
        "LogicalOp",
        "MatchOption",
        "Op",
    ),
    "gossipnode.core.model.tag_value": ("IntArray", "StrArray", "Timestamp"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return found
