"""The settings of a node: parsed once, checked as a whole, handed down frozen.

The values of one node come from a TOML file, the environment and the command line, each winning over the
one before. Nothing deeper in the node reads a file or the environment for its settings.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import msgspec

from gossipnode.config import values as values
from gossipnode.config.address import Address
from gossipnode.config.environment import ENVIRONMENT_PREFIX, GROUPS_VARIABLE, setting_variables
from gossipnode.config.keys import GROUP_KEYS, SECTIONS, hint
from gossipnode.config.keys import SettingsError as SettingsError
from gossipnode.config.log_settings import LogSettings
from gossipnode.config.other_members import foreign_members, other_members, others_to_join
from gossipnode.config.traces_settings import TracesSettings
from gossipnode.config.values import Parser, WrongValueError
from gossipnode.core.access.roles import Roles

DEFAULT_TOMBSTONE_RETENTION_SECONDS = 7 * 24 * 3600
DEFAULT_FOREIGN_RETENTION_SECONDS = 7 * 24 * 3600


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is and where it lives. Relative paths are relative to the working directory."""

    name: str
    listen: Address
    """Port 0 takes any free port."""
    advertise: Address
    data_dir: Path
    status_listen: Address | None = None
    """Where metrics, health and the status page are served, by `[tls]` if that is set; None for nowhere."""
    memory_budget: int = 256_000_000
    """Bytes, above what the node takes by itself, for what others send and ask for."""
    snapshot_dir: Path | None = None


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The other members (`peers`), or some that know all of them (`join`). Neither holds the node itself."""

    name: str = "main"
    secret: tuple[str, ...] = ()
    """What members prove to each other where there is no TLS: the first one. All of them are taken."""
    discovery: str = "static"
    peers: Mapping[str, Address] = msgspec.field(default_factory=dict[str, Address])
    join: tuple[Address, ...] = ()
    """Members of a running cluster, any one of which is enough."""
    foreign: Mapping[str, Address] = msgspec.field(default_factory=dict[str, Address])
    """Members of another kind: they stand in every ring of repair, and take part in nothing else."""
    replace: bool = False
    """Whether the node takes the place of a member of its name, whose disk is lost."""
    as_new: bool = False
    """Whether the node comes as a new member with the records that its data directory has."""
    accept_loss: bool = False
    """Whether it does either even if acknowledged writes, or records of its own, are lost by it."""


class RepairSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When rounds start by themselves, and the bounds of a session."""

    schedule: str | None = "0 2 * * *"
    """Cron, UTC. None (an empty text): no round starts by itself."""
    session_deadline_seconds: float = 3600.0
    max_sessions: int = 8
    page_leaves: int = 256
    leaf_json: Literal["none", "commas"] = "none"
    foreign_retention_seconds: float = DEFAULT_FOREIGN_RETENTION_SECONDS
    """How long foreign peers keep a tombstone. What was deleted before is not offered to them."""


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One group of properties."""

    shards: int = 1
    replicas: int = 3
    tombstone_retention_seconds: float = DEFAULT_TOMBSTONE_RETENTION_SECONDS
    """How long a tombstone is kept at the least. It goes once a round has proven that all replicas had it."""
    ack: str = "quorum"
    """Which replicas must have a write before it is acknowledged, if the request does not say."""
    indexes: tuple[str, ...] = ()
    """Tags with an index from the start."""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Certificate files in PEM. All three are given, or none."""

    ca: Path
    cert: Path
    key: Path
    require_client: bool = True
    """Whether clients have to show a certificate. Members always have to."""
    members: tuple[str, ...] = ()
    """Patterns of names in certificates that may join, beside the configured members."""
    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()

    @property
    def roles(self) -> Roles:
        """What clients may do, by the names in their certificates."""
        return Roles(self.readers, self.writers, self.admins)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a node needs to know before it starts."""

    node: NodeSettings
    cluster: ClusterSettings
    repair: RepairSettings
    groups: Mapping[str, GroupSettings]
    tls: TlsSettings | None = None
    log: LogSettings = LogSettings()
    traces: TracesSettings = TracesSettings()
    without_effect: tuple[str, ...] = ()
    """A line for each setting that was given and changes nothing yet."""

    @property
    def members(self) -> dict[str, Address]:
        """Every member of the cluster by name, this node included, in ring order."""
        everyone = {**self.cluster.peers, self.node.name: self.node.advertise}
        return dict(sorted(everyone.items()))


_OPTIONS = {
    "cluster.peers": "--peer",
    "cluster.foreign": "--foreign-peer",
    "cluster.name": "--cluster",
    "groups": "--group",
    "log.level": "--log-level",
}

_FLAGS = ("cluster.replace", "cluster.as_new", "cluster.accept_loss")
"""What is said once, on the command line, and stands in no file."""

_WITHOUT_EFFECT = {
    ("cluster", "discovery"): (
        "[cluster] discovery is set, but it changes nothing yet: members come from peers or join"
    ),
}
"""The settings that are read and checked, and that nothing in the node looks at yet."""

_Sections: TypeAlias = dict[str, dict[str, Any]]
_Groups: TypeAlias = dict[str, dict[str, Any]]


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read the file, then let the environment and then `overrides` win over it, key by key.

    `overrides` is keyed `section.key` ("node.listen"); "cluster.peers" is a list of NAME=ADDR, "cluster.join"
    one of ADDR, "groups" one of NAME:SHARDS:REPLICAS, which keeps what else the file says of a group. None
    values do not count. With a "cluster.join" here, peers from elsewhere do not count either.

    Raises:
        SettingsError: one line that names the key, its file, variable or option, and what is expected.
    """
    sections: _Sections = {name: {} for name in SECTIONS}
    groups: _Groups = {}
    if path is not None:
        _take_file(path, sections, groups)
    _take_environment(environ or {}, sections, groups)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    if "cluster.join" in given:
        # A member whose disk is lost comes back by --join --replace, with its file as it is.
        sections["cluster"].pop("peers", None)
    for key, value in given.items():
        _take_option(key, value, sections, groups)
    return _assemble(sections, groups)


def _take_file(path: Path, sections: _Sections, groups: _Groups) -> None:
    document = _read_toml(path)
    _refuse_unknown(document, [*SECTIONS, "groups"], f"{path}: unknown section")
    for section, table in document.items():
        entries = _table(table, f"{path}: [{section}]")
        if section == "groups":
            for name, keys in entries.items():
                _take_group_table(path, name, keys, groups)
            continue
        known = SECTIONS[section]
        _refuse_unknown(entries, list(known), f"{path}: in [{section}], unknown key")
        for key, value in entries.items():
            sections[section][key] = _parse(known[key], value, f"{path}: [{section}] {key}")


def _take_group_table(path: Path, name: str, table: object, groups: _Groups) -> None:
    where = f"{path}: [groups.{name}]"
    _parse(values.group_name, name, where)
    entries = _table(table, where)
    _refuse_unknown(entries, list(GROUP_KEYS), f"{path}: in [groups.{name}], unknown key")
    groups[name] = {key: _parse(GROUP_KEYS[key], value, f"{where} {key}") for key, value in entries.items()}


def _read_toml(path: Path) -> dict[str, object]:
    try:
        # Some editors put a mark of Unicode before the text.
        return values.read_toml(path.read_bytes().decode("utf-8-sig"))
    except WrongValueError as error:
        raise SettingsError(f"{path}, {error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        utf_16 = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        todo = ": it is UTF-16, save it as UTF-8" if utf_16 else ""
        raise SettingsError(f"{path}, line {line}: not UTF-8 text{todo}") from None
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such configuration file") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(f"{path}: the configuration file cannot be read: {reason}") from None


def _table(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} is not a table: write it as a section of its own")
    return cast("dict[str, object]", value)


def _refuse_unknown(entries: Iterable[str], known: Sequence[str], what: str) -> None:
    for key in entries:
        if key not in known:
            raise SettingsError(f"{what} {key!r}: {hint(key, known)}")


def _parse(parser: Parser, value: object, where: str) -> Any:
    try:
        return parser(value)
    except WrongValueError as error:
        raise SettingsError(f"{where}: {error}") from None


def _take_environment(environ: Mapping[str, str], sections: _Sections, groups: _Groups) -> None:
    for variable in setting_variables(environ):
        rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if rest == GROUPS_VARIABLE:
            _merge_groups(values.comma_list(environ[variable]), variable, groups)
            continue
        section, _, key = rest.partition("_")
        sections[section][key] = _parse(SECTIONS[section][key], environ[variable], variable)


def _take_option(key: str, value: object, sections: _Sections, groups: _Groups) -> None:
    section, _, name = key.partition(".")
    option = _OPTIONS.get(key, "--" + name.replace("_", "-"))
    if key == "groups":
        _merge_groups(cast("Sequence[str]", value), option, groups)
    elif key in _FLAGS:
        sections[section][name] = value
    else:
        sections[section][name] = _parse(SECTIONS[section][name], value, option)


def _merge_groups(specs: Sequence[str], where: str, groups: _Groups) -> None:
    seen: set[str] = set()
    for spec in specs:
        name, shards, replicas = _parse(values.group_spec, spec, where)
        if name in seen:
            raise SettingsError(f"{where}: group {name!r} is given twice")
        seen.add(name)
        for key, number in (("shards", shards), ("replicas", replicas)):
            groups.setdefault(name, {})[key] = _parse(GROUP_KEYS[key], number, f"{where} {spec}: {key}")


def _assemble(sections: _Sections, groups: _Groups) -> Settings:
    node = sections["node"]
    for key in ("name", "listen"):
        if key not in node:
            raise SettingsError(
                f"[node] {key} is not set: give it in a --config file, as --{key}, "
                f"or as GOSSIPNODE_NODE_{key.upper()}"
            )
    node.setdefault("advertise", node["listen"])
    if node["advertise"].is_everywhere:
        raise SettingsError(
            f"[node] listen: {node['listen']} stands for every address of this machine, and nobody can dial "
            "it: set advertise to the one at which others reach this node, in the file, as --advertise, or "
            "as GOSSIPNODE_NODE_ADVERTISE"
        )
    status = node.get("status_listen")
    if status is not None and not status.is_loopback and not sections["tls"]:
        raise SettingsError(
            f"[node] status_listen: {status} is reached from other machines, and what is shown there is not "
            f"protected: use an address of loopback, such as 127.0.0.1:{status.port}, or set [tls]"
        )
    node.setdefault("data_dir", Path("data") / node["name"])
    cluster = dict(sections["cluster"])
    cluster["peers"] = other_members(cluster.get("peers", {}), node)
    cluster["join"] = others_to_join(cluster.get("join", ()), node)
    cluster["foreign"] = foreign_members(cluster.get("foreign", {}), cluster["peers"], node)
    if any(map(cluster.get, ("replace", "as_new", "accept_loss"))) and not sections["cluster"].get("join"):
        raise SettingsError(
            "--replace, --as-new and --accept-loss are for a node that joins: give --join as well"
        )
    if cluster.get("as_new") and not cluster["join"]:
        raise SettingsError("--as-new is for a node that joins others: --join names this node alone")
    if cluster["peers"] and cluster["join"]:
        raise SettingsError(
            "[cluster] peers and join are both set (--peer, --join): name all members, or one to join through"
        )
    return Settings(
        node=NodeSettings(**node),
        cluster=ClusterSettings(**cluster),
        repair=RepairSettings(**_in_seconds(sections["repair"], "foreign_retention")),
        groups={name: _group(keys) for name, keys in sorted(groups.items())},
        tls=_tls(sections["tls"]),
        log=LogSettings(**sections["log"]),
        traces=TracesSettings(**sections["traces"]),
        without_effect=tuple(
            line for (section, key), line in _WITHOUT_EFFECT.items() if key in sections[section]
        ),
    )


def _group(keys: dict[str, Any]) -> GroupSettings:
    return GroupSettings(**_in_seconds(keys, "tombstone_retention"))


def _in_seconds(keys: dict[str, Any], duration: str) -> dict[str, Any]:
    """Name a duration of the file, such as "7d", as the number of seconds that it was parsed to."""
    return {f"{key}_seconds" if key == duration else key: value for key, value in keys.items()}


def _tls(keys: dict[str, Any]) -> TlsSettings | None:
    if not keys:
        return None
    missing = [key for key in ("ca", "cert", "key") if key not in keys]
    if missing:
        given = ", ".join(keys)
        raise SettingsError(f"[tls] has {given} but no {missing[0]}: TLS needs ca, cert and key")
    return TlsSettings(**keys)


def describe_settings(settings: Settings) -> dict[str, Any]:
    """The settings as plain values that JSON can hold, addresses as text and without the secret."""
    described: dict[str, Any] = msgspec.to_builtins(
        {
            "node": _plain(settings.node),
            "cluster": _plain(settings.cluster)
            | {
                "peers": {name: str(peer) for name, peer in settings.cluster.peers.items()},
                "join": [str(address) for address in settings.cluster.join],
                "foreign": {name: str(peer) for name, peer in settings.cluster.foreign.items()},
            }
            | ({"secret": "(set)"} if settings.cluster.secret else {}),
            "repair": _plain(settings.repair),
            "groups": {name: _plain(group) for name, group in settings.groups.items()},
            "tls": _plain(settings.tls) if settings.tls else None,
            "log": _plain(settings.log),
            "traces": _plain(settings.traces),
        }
    )
    return described


def _plain(section: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.asdict(section)
    return {key: str(value) if isinstance(value, Address | Path) else value for key, value in fields.items()}
