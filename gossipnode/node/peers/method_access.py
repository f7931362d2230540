"""Who may call which method. A method that is not listed may be called by members alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipnode.core.access.roles import Role
from gossipnode.wire import services

_READERS = (
    services.QUERY,
    services.CURRENT_NODE,
    services.NODE_GET,
    services.NODE_QUERY,
    services.NODE_EXPORT,
    services.NODE_STATUS,
    services.NODE_TREE,
    services.NODE_DIFF,
    services.WATCH,
    services.WAIT,
    services.EXPLAIN,
    services.NODE_LIST_GROUPS,
)
_WRITERS = (
    services.APPLY,
    services.DELETE,
    services.NODE_APPLY,
    services.NODE_DELETE,
    services.NODE_IMPORT,
    services.NODE_REPAIR,
)
_ADMINS = (
    services.NODE_CREATE_GROUP,
    services.NODE_ALTER_GROUP,
    services.NODE_DELETE_GROUP,
    services.NODE_FORGET_MEMBER,
    services.NODE_SNAPSHOT,
)
_OF_GRPC = "/grpc."
"""Where the paths of gRPC's own services begin, health and reflection: readers may call them."""

_ROLES: Final[Mapping[str, Role]] = {
    method.path: role
    for methods, role in ((_READERS, Role.READER), (_WRITERS, Role.WRITER), (_ADMINS, Role.ADMIN))
    for method in methods
}


def needed_role(path: str) -> Role | None:
    """The role that a client needs to call a method; None for what members alone may call."""
    return Role.READER if path.startswith(_OF_GRPC) else _ROLES.get(path)
