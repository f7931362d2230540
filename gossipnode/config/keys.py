"""The keys that settings have, each with the parser of its value; and the error for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from gossipnode.config import values as values
from gossipnode.config.access_values import name_patterns, secrets
from gossipnode.config.collector_url import collector
from gossipnode.config.values import Parser
from gossipnode.core.model.limits import REPLICAS_MAX, SHARDS_MAX


class SettingsError(ValueError):
    """A configuration that is wrong in itself: the message names key and origin, and what is expected."""


SECTIONS: dict[str, dict[str, Parser]] = {
    "node": {
        "name": values.member_name,
        "listen": values.listen_address,
        "advertise": values.address,
        "data_dir": values.path,
        "status_listen": values.listen_address,
        "memory_budget": values.memory_size,
        "snapshot_dir": values.path,
    },
    "cluster": {
        "name": values.cluster_name,
        "secret": secrets,
        "discovery": values.discovery,
        "peers": values.peers,
        "join": values.addresses,
        "foreign": values.peers,
    },
    "repair": {
        "schedule": values.schedule,
        "session_deadline_seconds": values.seconds,
        "max_sessions": values.whole_number(1, 1024),
        "page_leaves": values.whole_number(1, 100_000),
        "leaf_json": values.one_of("none", "commas"),
        "foreign_retention": values.duration,
    },
    "tls": {
        "ca": values.existing_file,
        "cert": values.existing_file,
        "key": values.existing_file,
        "require_client": values.yes_or_no,
        "members": name_patterns,
        "readers": name_patterns,
        "writers": name_patterns,
        "admins": name_patterns,
    },
    "log": {
        "level": values.one_of("debug", "info", "warning", "error"),
        "format": values.one_of("auto", "console", "json"),
    },
    "traces": {
        "endpoint": collector,
    },
}
GROUP_KEYS: dict[str, Parser] = {
    "shards": values.whole_number(1, SHARDS_MAX),
    "replicas": values.whole_number(1, REPLICAS_MAX),
    "tombstone_retention": values.duration,
    "ack": values.one_of("local", "one", "quorum", "all"),
    "indexes": values.tag_keys,
}


def hint(key: str, known: Sequence[str]) -> str:
    """What to do about an unknown key."""
    near = get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
