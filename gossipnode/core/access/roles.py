"""Roles of clients by the names in their certificates, and what each of them may do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from gossipnode.core.access.name_patterns import matches_any


class Role(IntEnum):
    """What a client may do. Each role may do all that the ones before it may."""

    NONE = 0
    READER = 1
    WRITER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Roles:
    """The patterns of `[tls] readers`, `writers` and `admins`."""

    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()

    def of(self, names: Collection[str]) -> Role:
        """The highest role of a caller, by the names in its certificate. Without one it has no names.

        Where no writers are given, everybody is one who is not a reader alone.
        """
        if matches_any(self.admins, names):
            return Role.ADMIN
        if matches_any(self.writers, names):
            return Role.WRITER
        if matches_any(self.readers, names):
            return Role.READER
        return Role.NONE if self.writers else Role.WRITER

    def admits(self, role: Role, needed: Role) -> bool:
        """Whether a role is enough. Where no admins are given, writers may do what is theirs."""
        if needed is Role.ADMIN and not self.admins:
            needed = Role.WRITER
        return role >= needed
