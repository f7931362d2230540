"""The settings of a node: where they come from, which one wins, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gossipnode.config.address import Address
from gossipnode.config.settings import SettingsError, describe_settings, load_settings

MINIMAL = {"node.name": "a", "node.listen": "127.0.0.1:7400"}


def write(tmp_path: Path, text: str, name: str = "a.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


WHOLE = """
[node]
name = "a"
listen = "127.0.0.1:7400"
advertise = "a.example:7400"
data_dir = "data/a"
status_listen = "127.0.0.1:7480"
memory_budget = "512MiB"
snapshot_dir = "/var/snapshots"
[cluster]
name = "main"
secret = "s3cret"
discovery = "static"
peers = {{ b = "127.0.0.1:7401", c = "[::1]:7402" }}
[repair]
schedule = "0 2 * * *"
session_deadline_seconds = 3600
max_sessions = 8
page_leaves = 256
leaf_json = "commas"
foreign_retention = "3d"
[groups.sw]
shards = 2
replicas = 3
tombstone_retention = "12h"
ack = "all"
indexes = ["status", "zone"]
[tls]
ca = "{tmp_path}/ca.pem"
cert = "{tmp_path}/a.pem"
key = "{tmp_path}/a.key"
require_client = false
[log]
level = "warning"
format = "json"
[traces]
endpoint = "https://collector.example:4318/"
"""


def test_the_whole_configuration_of_the_contract(tmp_path: Path) -> None:
    for name in ("ca.pem", "a.pem", "a.key"):
        write(tmp_path, "", name)
    settings = load_settings(write(tmp_path, WHOLE.format(tmp_path=tmp_path)))
    assert settings.node.advertise == Address("a.example", 7400)
    assert settings.node.data_dir == Path("data/a")
    assert settings.node.status_listen == Address("127.0.0.1", 7480)
    assert settings.node.memory_budget == 512 << 20
    assert settings.node.snapshot_dir == Path("/var/snapshots")
    assert settings.cluster.secret == ("s3cret",)
    assert settings.repair.session_deadline_seconds == 3600
    assert (settings.repair.max_sessions, settings.repair.page_leaves) == (8, 256)
    assert settings.repair.leaf_json == "commas"
    assert settings.repair.foreign_retention_seconds == 3 * 24 * 3600
    group = settings.groups["sw"]
    assert (group.shards, group.replicas, group.ack) == (2, 3, "all")
    assert group.indexes == ("status", "zone")
    assert group.tombstone_retention_seconds == 12 * 3600
    assert settings.tls is not None
    assert settings.tls.cert == tmp_path / "a.pem"
    assert not settings.tls.require_client
    assert (settings.log.level, settings.log.format) == ("warning", "json")
    assert settings.traces.endpoint == "https://collector.example:4318"
    assert list(settings.members.items()) == [
        ("a", Address("a.example", 7400)),
        ("b", Address("127.0.0.1", 7401)),
        ("c", Address("::1", 7402)),
    ]
    shown = json.dumps(describe_settings(settings))
    assert "s3cret" not in shown
    assert '"[::1]:7402"' in shown


def test_everything_but_name_and_listen_has_a_default() -> None:
    settings = load_settings(overrides=MINIMAL)
    assert settings.node.advertise == settings.node.listen == Address("127.0.0.1", 7400)
    assert settings.node.data_dir == Path("data/a")
    assert settings.node.status_listen is None
    assert settings.node.memory_budget == 256_000_000
    assert settings.node.snapshot_dir is None
    assert (settings.cluster.name, settings.cluster.discovery) == ("main", "static")
    assert settings.cluster.secret == ()
    assert settings.cluster.join == ()
    assert settings.repair.schedule == "0 2 * * *"
    assert settings.repair.session_deadline_seconds == 3600
    assert (settings.repair.max_sessions, settings.repair.page_leaves) == (8, 256)
    assert settings.repair.leaf_json == "none"
    assert settings.repair.foreign_retention_seconds == 7 * 24 * 3600
    assert dict(settings.groups) == {}
    assert settings.tls is None
    assert (settings.log.level, settings.log.format) == ("info", "auto")
    grouped = load_settings(overrides=MINIMAL | {"groups": ["sw:1:3"]}).groups["sw"]
    assert grouped.tombstone_retention_seconds == 7 * 86400
    assert (grouped.ack, grouped.indexes) == ("quorum", ())


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
[node]
name = "file"
listen = "127.0.0.1:1"
data_dir = "file"
[cluster]
peers = { x = "127.0.0.1:9" }
[groups.sw]
shards = 4
tombstone_retention = "1d"
[groups.kept]
""",
    )
    environ = {
        "GOSSIPNODE_NODE_NAME": "env",
        "GOSSIPNODE_NODE_LISTEN": "127.0.0.1:2",
        "GOSSIPNODE_CLUSTER_PEERS": "b=127.0.0.1:8, c=127.0.0.1:7",
        "GOSSIPNODE_REPAIR_MAX_SESSIONS": "3",
        "GOSSIPNODE_REPAIR_SESSION_DEADLINE_SECONDS": "2.5",
        "GOSSIPNODE_REPAIR_SCHEDULE": "",
        "GOSSIPNODE_AT": "127.0.0.1:5",
        "GOSSIPNODE_PORT_7400_TCP_ADDR": "10.0.0.1",
        "GOSSIPNODE_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    settings = load_settings(
        path, environ, {"node.name": "flag", "node.data_dir": None, "groups": ["sw:2:3"]}
    )
    assert settings.node.name == "flag"
    assert settings.node.listen.port == 2
    assert settings.node.data_dir == Path("file")
    assert sorted(settings.cluster.peers) == ["b", "c"]
    assert settings.repair.max_sessions == 3
    assert settings.repair.session_deadline_seconds == 2.5
    assert settings.repair.schedule is None
    assert settings.groups["sw"].shards == 2
    assert settings.groups["sw"].tombstone_retention_seconds == 86400
    assert "kept" in settings.groups
    assert load_settings(path, {"GOSSIPNODE_GROUPS": "e:1:3"}).groups["e"].replicas == 3


NODE = '[node]\nname = "a"\nlisten = "127.0.0.1:7400"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[node\n", ["a.toml, line 1"]),
        (NODE + "[cluster]\npeers = {\n", ["a.toml, line 5"]),
        ('[node]\nname = "a"\nname = "b"\n', ["a.toml, line 3"]),
        ('[nod]\nname = "a"\n', ["a.toml: unknown section 'nod'", "did you mean 'node'?"]),
        ('[zzz]\nname = "a"\n', ["unknown section 'zzz'", "known are node, cluster"]),
        ("node = 5\n", ["a.toml: [node] is not a table"]),
        ('[node]\nlisen = "x:1"\n', ["in [node], unknown key 'lisen'", "did you mean 'listen'?"]),
        ("[groups.sw]\nshard = 1\n", ["in [groups.sw], unknown key 'shard'", "did you mean 'shards'?"]),
        ("[groups]\nsw = 1\n", ["[groups.sw] is not a table"]),
        ("[node]\nname = 5\n", ["a.toml: [node] name: expected text, got a number (5)"]),
        ('[node]\nname = ""\n', ["[node] name: expected text, got nothing"]),
        ('[node]\nname = "a b"\n', ["'a b' is no node name"]),
        ('[node]\nlisten = "localhost"\n', ["[node] listen: 'localhost' has no port"]),
        ('[node]\nlisten = "localhost:99999"\n', ["no valid port"]),
        ("[repair]\nmax_sessions = 0\n", ["[repair] max_sessions: expected 1 to 1024, got 0"]),
        ("[repair]\nmax_sessions = true\n", ["expected a whole number, got a truth value"]),
        ('[repair]\nmax_sessions = "8x"\n', ["expected a whole number, got '8x'"]),
        ("[repair]\npage_leaves = 0\n", ["[repair] page_leaves: expected 1 to"]),
        ("[repair]\nsession_deadline_seconds = 0\n", ["expected a number of seconds above 0"]),
        ("[repair]\nsession_deadline_seconds = inf\n", ["expected a number of seconds above 0"]),
        ("[repair]\nsession_deadline_seconds = true\n", ["expected a number of seconds, got a truth"]),
        ('[repair]\nschedule = "often"\n', ["[repair] schedule: 'often' is no cron schedule"]),
        ('[repair]\nschedule = "0 0 2 * * *"\n', ["'0 0 2 * * *' is no cron schedule: expected five fields"]),
        ('[repair]\nschedule = "0 0 30 2 *"\n', ["is no cron schedule"]),
        ('[log]\nlevel = "loud"\n', ["[log] level: expected one of debug, info, warning, error, got 'loud'"]),
        ('[traces]\nendpoint = "collector:4318"\n', ["[traces] endpoint: expected a URL such as 'http://127"]),
        ('[traces]\nendpoint = "http://[::1"\n', ["[traces] endpoint: expected a URL"]),
        ('[traces]\nendpoint = "http://h/?x"\n', ["[traces] endpoint: expected a URL"]),
        ('[traces]\nendpoint = "ftp://h/"\n', ["[traces] endpoint: expected a URL"]),
        ('[traces]\nendpoint = "http://h:99999"\n', ["[traces] endpoint: expected a URL"]),
        ('[repair]\nleaf_json = "spaces"\n', ["expected one of none, commas, got 'spaces'"]),
        ('[cluster]\ndiscovery = "dns"\n', ["[cluster] discovery: 'dns' is not supported yet", '"static"']),
        ('[cluster]\ndiscovery = "magic"\n', ["expected one of static, file, dns, etcd"]),
        ("[cluster]\npeers = 5\n", ["[cluster] peers: expected a table"]),
        ('[cluster]\npeers = { b = "x" }\n', ["peer 'b': 'x' has no port"]),
        ('[cluster]\npeers = { b = "x:0" }\n', ["peer 'b': 'x:0' has port 0"]),
        ("[cluster]\npeers = { b = 5 }\n", ["peer 'b': expected text"]),
        ('[cluster]\nname = "a b"\n', ["is no cluster name"]),
        ('[groups."a/b"]\n', ["""group name 'a/b' holds a "/\""""]),
        ('[groups."a\\u001b[2J"]\n', ["group name 'a\\x1b[2J' holds characters that cannot be printed"]),
        ('[groups.sw]\ntombstone_retention = "99999999d"\n', ["expected 36500d at most, got '99999999d'"]),
        ("[groups._x]\n", ["""group name '_x' begins with "_\""""]),
        ("[groups." + "x" * 256 + "]\n", ["longer than 255 bytes"]),
        ("[groups.sw]\nshards = 1025\n", ["[groups.sw] shards: expected 1 to 1024, got 1025"]),
        ("[groups.sw]\nreplicas = 0\n", ["[groups.sw] replicas: expected 1 to"]),
        ('[groups.sw]\ntombstone_retention = "7 days"\n', ['expected a time such as "7d"']),
        ('[groups.sw]\ntombstone_retention = "0s"\n', ["expected a time above 0"]),
        ("[groups.sw]\ntombstone_retention = 7\n", ['expected a time such as "7d"']),
        ('[groups.sw]\nack = "most"\n', ["expected one of local, one, quorum, all, got 'most'"]),
        ('[tls]\nca = "/nowhere/ca.pem"\n', ["[tls] ca: no such file: /nowhere/ca.pem"]),
        ("[tls]\nrequire_client = 1\n", ["[tls] require_client: expected true or false"]),
        (NODE + "[tls]\nrequire_client = true\n", ["[tls] has require_client but no ca"]),
        ("", ["[node] name is not set", "--name", "GOSSIPNODE_NODE_NAME"]),
        ('[node]\nname = "a"\n', ["[node] listen is not set"]),
        (NODE + '[cluster]\npeers = { a = "h:1" }\n', ["peer 'a' at h:1 has this node's own name"]),
        (NODE + '[cluster]\npeers = { b = "127.0.0.1:7400" }\n', ["peer 'b' has this node's own address"]),
        (NODE + '[cluster]\npeers = { b = "h:1", c = "h:1" }\n', ["'b' and 'c' have the same address h:1"]),
        ("[cluster]\njoin = 5\n", ["[cluster] join: expected a list such as", "got a number (5)"]),
        ("[cluster]\njoin = [5]\n", ["[cluster] join: expected text, got a number (5)"]),
        ('[cluster]\njoin = ["h"]\n', ["[cluster] join: 'h' has no port"]),
        ('[cluster]\njoin = ["h:0"]\n', ["[cluster] join: 'h:0' has port 0"]),
        (
            NODE + '[cluster]\njoin = ["h:1"]\npeers = { b = "h:1" }\n',
            ["[cluster] peers and join are both set (--peer, --join)"],
        ),
        ('[groups.sw]\nindexes = "zone"\n', ["[groups.sw] indexes: expected a list such as"]),
        ("[groups.sw]\nindexes = [5]\n", ["[groups.sw] indexes: expected text, got a number (5)"]),
        ('[groups.sw]\nindexes = ["a", ""]\n', ["[groups.sw] indexes: expected text, got nothing"]),
        ('[groups.sw]\nindexes = ["a", "b", "a"]\n', ["[groups.sw] indexes: tag 'a' is given twice"]),
        ('[groups.sw]\nindexes = ["' + "x" * 256 + '"]\n', ["longer than 255 bytes"]),
        (f"[groups.sw]\nindexes = {[str(n) for n in range(17)]}\n", ["expected 16 tags at most, got 17"]),
    ],
)  # fmt: skip
def test_wrong_files_are_named_with_their_key(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(write(tmp_path, text))
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_mark_before_the_text_of_a_file_is_skipped(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "\ufeff" + NODE)).node.name == "a"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such configuration file"):
        load_settings(tmp_path / "missing.toml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[node]\nname = '\xe4'\n")
    with pytest.raises(SettingsError, match=r"latin.toml, line 2: not UTF-8"):
        load_settings(latin)


@pytest.mark.parametrize(
    ("environ", "overrides", "message"),
    [
        ({"GOSSIPNODE_NODE_LISTEN": "x"}, {}, "GOSSIPNODE_NODE_LISTEN: 'x' has no port"),
        (
            {"GOSSIPNODE_NODE_LISEN": "x:1"},
            {},
            r"GOSSIPNODE_NODE_LISEN: \[node\] has no key 'lisen': did you",
        ),
        (
            {"GOSSIPNODE_NOED_NAME": "b"},
            {},
            "GOSSIPNODE_NOED_NAME: no setting has this name: did you mean GOSSIPNODE_NODE_NAME?",
        ),
        ({"GOSSIPNODE_NODE": "b"}, {}, r"GOSSIPNODE_NODE: \[node\] has no key ''"),
        ({"GOSSIPNODE_GROUP": "b:1:1"}, {}, "did you mean GOSSIPNODE_GROUPS"),
        ({"GOSSIPNODE_NODE_PORT": "b"}, {}, "GOSSIPNODE_NODE_PORT: no setting has this name: unset it"),
        ({"GOSSIPNODE_B_SERVICE_HOST": "b"}, {}, "`enableServiceLinks: false` ends that"),
        ({"GOSSIPNODE_": "b"}, {}, "GOSSIPNODE_: no setting has this name"),
        ({"GOSSIPNODE_ZZZZZZZ": "b"}, {}, "no setting has this name: unset it"),
        ({"GOSSIPNODE_TLS_REQUIRE_CLIENT": "maybe"}, {}, "GOSSIPNODE_TLS_REQUIRE_CLIENT: expected true"),
        ({"GOSSIPNODE_CLUSTER_PEERS": "b"}, {}, "GOSSIPNODE_CLUSTER_PEERS: 'b' is no peer: expected NAME="),
        ({}, {"node.listen": "x"}, "--listen: 'x' has no port"),
        ({}, {"node.data_dir": ""}, "--data-dir: expected text"),
        ({"GOSSIPNODE_CLUSTER_JOIN": "h:1,h"}, {}, "GOSSIPNODE_CLUSTER_JOIN: 'h' has no port"),
        ({}, {"cluster.join": ["h"]}, "--join: 'h' has no port"),
        ({"GOSSIPNODE_CLUSTER_JOIN": "h:1"}, {"cluster.peers": ["b=h:1"]}, "peers and join are both set"),
        ({}, {"groups": ["\udcff:1:3"]}, "--group: .* is no UTF-8 text"),
        ({}, {"cluster.peers": ["b=h:1", "b=h:2"]}, "--peer: peer 'b' is given twice"),
        ({}, {"cluster.peers": ["=h:1"]}, "--peer: '=h:1' is no peer"),
        (
            {},
            {"groups": ["a\x07:1:3"]},
            r"--group: group name 'a\\x07' holds characters that cannot be printed",
        ),
        ({}, {"groups": ["sw"]}, "--group: 'sw' is no group: expected NAME:SHARDS:REPLICAS"),
        ({}, {"groups": ["sw:0:3"]}, "--group sw:0:3: shards: expected 1 to 1024, got 0"),
        ({}, {"groups": ["sw:1:3", "sw:2:3"]}, "--group: group 'sw' is given twice"),
        ({}, {"groups": ["_sw:1:3"]}, "begins with"),
    ],
)
def test_wrong_variables_and_options_are_named(
    environ: dict[str, str], overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(None, environ, MINIMAL | overrides)


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """A container platform sets some for services that bear our name."""
    names = [
        "AT", "CA", "CERT", "KEY", "DEBUG", "SERVICE_HOST", "SERVICE_PORT_GRPC", "PORT", "PORT_7400_TCP_ADDR",
    ]  # fmt: skip
    environ = {f"GOSSIPNODE_{name}": "x" for name in names} | {"GOSSIPNODES": "x"}
    assert load_settings(None, environ, MINIMAL) == load_settings(overrides=MINIMAL)


def test_one_list_of_members_may_serve_all_nodes() -> None:
    peers = ["a=127.0.0.1:7400", "b=127.0.0.1:7401"]
    settings = load_settings(overrides=MINIMAL | {"cluster.peers": peers})
    assert list(settings.cluster.peers) == ["b"]
    assert list(settings.members) == ["a", "b"]


def test_more_or_fewer_members_than_replicas_are_allowed() -> None:
    peers = ["b=h:1", "c=h:2"]
    settings = load_settings(
        overrides=MINIMAL | {"groups": ["sw:1:2", "with:colon:2:5"], "cluster.peers": peers}
    )
    assert settings.groups["sw"].replicas == 2
    assert settings.groups["with:colon"].shards == 2


def test_a_node_may_join_through_any_of_several_members(tmp_path: Path) -> None:
    path = write(tmp_path, NODE + '[cluster]\njoin = ["h:1", "h:2", "h:1"]\n')
    found = load_settings(path)
    assert found.cluster.join == (Address("h", 1), Address("h", 2))
    assert list(found.members) == ["a"]
    assert describe_settings(found)["cluster"]["join"] == ["h:1", "h:2"]
    assert load_settings(path, {"GOSSIPNODE_CLUSTER_JOIN": "h:3, [::1]:4"}).cluster.join == (
        Address("h", 3),
        Address("::1", 4),
    )
    assert load_settings(path, {"GOSSIPNODE_CLUSTER_JOIN": ""}).cluster.join == ()
    assert load_settings(path, {}, {"cluster.join": ["h:5"]}).cluster.join == (Address("h", 5),)


def test_one_list_of_whom_to_join_may_serve_all_nodes() -> None:
    """The first node finds nobody but itself there, and so joins nobody."""
    join = ["127.0.0.1:7400", "127.0.0.1:7401", "a.example:7400"]
    settings = load_settings(overrides=MINIMAL | {"cluster.join": join, "node.advertise": "a.example:7400"})
    assert settings.cluster.join == (Address("127.0.0.1", 7401),)


def test_a_node_may_listen_at_any_free_port() -> None:
    assert load_settings(overrides=MINIMAL | {"node.listen": "127.0.0.1:0"}).node.listen.port == 0


LINES_WITHOUT_EFFECT = [
    ('[cluster]\ndiscovery = "static"\n', "[cluster] discovery is set, but it changes nothing yet"),
]


@pytest.mark.parametrize(("text", "line"), LINES_WITHOUT_EFFECT)
def test_a_setting_that_changes_nothing_yet_has_a_line_of_its_own(
    tmp_path: Path, text: str, line: str
) -> None:
    (found,) = load_settings(write(tmp_path, text), overrides=MINIMAL).without_effect
    assert found.startswith(line)
    assert "s3cret" not in found


def test_lines_of_settings_that_change_nothing_are_there_wherever_they_were_set(tmp_path: Path) -> None:
    environ = {"GOSSIPNODE_CLUSTER_DISCOVERY": "static"}
    found = load_settings(None, environ, overrides=MINIMAL).without_effect
    assert [line.partition(" is ")[0] for line in found] == ["[cluster] discovery"]


def test_defaults_and_settings_in_use_have_no_line(tmp_path: Path) -> None:
    assert load_settings(overrides=MINIMAL).without_effect == ()
    used = load_settings(
        write(tmp_path, '[cluster]\nname = "c"\npeers = { b = "h:1" }\n[groups.sw]\n'), overrides=MINIMAL
    )
    assert used.without_effect == ()
    assert "without_effect" not in describe_settings(used)
