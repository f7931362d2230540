"""`status`: a node's view of itself and of its shards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gossipnode.cli.commands.status_command import SHARDS_SHOWN
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, Running, lines


def status(**fields: Any) -> messages.StatusResponse:
    shards = [
        messages.ShardStatus(group="sw", shard=0, replicas=["a", "b"], records=1, tree="ready"),
        messages.ShardStatus(
            group="sw",
            shard=1,
            replicas=["a", "c"],
            tree="ready",
            moving=messages.ShardStatusMoving(to=["d"], done=120, total=4000),
        ),
    ]
    told = {"epoch": 12, "cluster_id": "ab" * 16, **fields}
    return messages.StatusResponse(node="a", address="h:1", version="1", state="ready", shards=shards, **told)


def test_a_status_shows_moves_and_read_repairs(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(
        replicas=messages.ReplicaCounters(read_repairs=1, read_repairs_dropped=2)
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert list(shown) == [
        "node", "address", "version", "state", "members", "shards", "rounds",
        "epoch", "cluster_id", "forming", "memory", "read_repairs", "read_repairs_dropped", "overlaps",
        "disk", "set_aside", "unheard", "not_replaced", "refused_calls", "warnings",
    ]  # fmt: skip
    assert (shown["epoch"], shown["cluster_id"], shown["forming"]) == (12, "ab" * 16, None)
    assert (shown["read_repairs"], shown["read_repairs_dropped"]) == (1, 2)
    assert [shard["moving"] for shard in shown["shards"]] == [
        None,
        {"to": ["d"], "done": 120, "total": 4000},
    ]
    table = ask_peer("status").out
    assert "members and groups of epoch 12, 1 stale copy mended by reads (2 left to a round)\n" in table
    assert table.endswith("\n\nsw/1 moving to d: 120/4,000 records\n")


def test_a_status_shows_who_lacks_what_and_since_when_all_are_equal(ask_peer: Cli, peer: Peer) -> None:
    equal = messages.ShardStatus(
        group="sw", shard=0, replicas=["a", "b"], last_converged=1_800_000_000_250_000_000
    )
    then = 1_800_000_000_250_000_000
    behind = [messages.ShardStatusBehind("b", 1), messages.ShardStatusBehind("c", 1200)]
    lacking = messages.ShardStatus(group="sw", shard=1, last_converged=then, behind=behind)
    never = messages.ShardStatus(group="sw", shard=2)
    told = status()
    told.shards = [equal, lacking, never]
    peer.answers[services.NODE_STATUS] = told
    shown = json.loads(ask_peer("status", "-o", "json").out)["shards"]
    assert [(shard["behind"], shard["equal_since"]) for shard in shown] == [
        (None, "2027-01-15T08:00:00.250000Z"),
        (1200, None),
        (None, None),
    ]
    assert {shard["digest"] for shard in shown} == {"tree"}
    table = ask_peer("status").out
    assert "sw/1: b is known to lack 1 write\nsw/1: c is known to lack 1,200 writes\n" in table


def test_a_status_shows_refused_calls_and_what_to_know(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(refused_calls=3, warnings=["no [tls] is set"])
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert (shown["refused_calls"], shown["warnings"]) == (3, ["no [tls] is set"])
    table = ask_peer("status").out
    assert "3 calls refused: the log says whose\nwarning: no [tls] is set\n" in table


def test_a_status_shows_what_a_cluster_waits_for_before_it_is_formed(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(
        epoch=0,
        cluster_id="",
        forming=messages.StatusResponseForming(
            waiting_for=["b", "c"], needed=3, problems=["b: it has said no hello", "c: connection refused"]
        ),
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert (shown["epoch"], shown["cluster_id"]) == (0, None)
    assert shown["forming"] == {
        "waiting_for": ["b", "c"],
        "needed": 3,
        "problems": ["b: it has said no hello", "c: connection refused"],
    }
    table = " ".join(ask_peer("status").out.split())
    assert "forming: waiting for b: it has said no hello, c: connection refused, 0 stale copies" in table


def test_a_status_says_why_the_store_does_not_count_yet(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(unheard=["b", "c"])
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert (shown["unheard"], shown["not_replaced"]) == (["b", "c"], None)
    table = " ".join(ask_peer("status").out.split())
    assert "groups of epoch 12, starting: waiting to hear from b, c, 0 stale copies" in table
    peer.answers[services.NODE_STATUS] = status(not_replaced="c is being filled")
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["not_replaced"] == "c is being filled"
    table = " ".join(ask_peer("status").out.split())
    assert "the data directory went back in time and is not replaced yet: c is being filled" in table


def test_a_node_that_waits_for_the_first_one_to_propose_says_so(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(
        epoch=0, cluster_id="", forming=messages.StatusResponseForming(needed=3)
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["forming"] == {"waiting_for": [], "needed": 3, "problems": []}
    assert "forming: waiting for the first of us, " in ask_peer("status").out


def test_a_status_shows_who_holds_memory(ask_peer: Cli, peer: Peer) -> None:
    held = messages.MemoryHeld
    peer.answers[services.NODE_STATUS] = status(
        memory=messages.Memory(
            budget=256_000_000,
            used=35_500_000,
            by=[held(name="channels", size=500_000), held(name="connections", size=35_000_000)],
            callers=[held(name="192.0.2.7", size=35_000_000), held(name="b", size=500_000)],
        )
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["memory"] == {
        "budget": 256_000_000,
        "used": 35_500_000,
        "by": {"channels": 500_000, "connections": 35_000_000},
        "callers": {"192.0.2.7": 35_000_000, "b": 500_000},
    }
    table = ask_peer("status").out
    assert "memory 35.5 of 256.0 MB: channels 0.5, connections 35.0; most by 192.0.2.7\n" in table


def test_a_move_that_has_just_begun(ask_peer: Cli, peer: Peer) -> None:
    found = status()
    found.shards[1].moving = messages.ShardStatusMoving(to=["d", "e"])
    peer.answers[services.NODE_STATUS] = found
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["shards"][1]["moving"] == {"to": ["d", "e"], "done": 0, "total": 0}
    assert "moving to d,e: 0/0 records" in ask_peer("status").out


def test_a_status_without_moves_says_nothing_of_them(ask_peer: Cli, peer: Peer) -> None:
    found = status()
    del found.shards[1]
    peer.answers[services.NODE_STATUS] = found
    table = ask_peer("status").out
    assert "0 stale copies mended by reads\n" in table
    assert "mov" not in table


def test_a_status_shows_a_full_disk_and_what_was_set_aside(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(
        disk=messages.DiskStatus(state="full", free=12_345_678),
        set_aside=messages.SetAsideStatus(count=21, keys=["sw/n/1", "sw/n/2"]),
    )
    shown = json.loads(ask_peer("status", "-o", "json").out)
    assert shown["disk"] == {"state": "full", "free": 12_345_678}
    assert shown["set_aside"] == {"count": 21, "keys": ["sw/n/1", "sw/n/2"]}
    table = ask_peer("status").out
    assert "\ndisk full, 12.3 MB free: writes are refused until there is more\n" in table
    assert "\n21 damaged records set aside: sw/n/1, sw/n/2, ...\n" in table


def test_a_sound_disk_is_shown_too(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(disk=messages.DiskStatus(state="ok", free=20_000_000))
    table = ask_peer("status").out
    assert "\ndisk ok, 20.0 MB free\n" in table
    assert "set aside" not in table


@pytest.mark.slow
def test_the_status_of_a_real_node(ask: Cli, node: Running) -> None:
    # A request waits for the cluster to be formed.
    assert ask("get", "sw/x/not-there").code == 3
    (status,) = lines(ask("status", "-o", "json"))
    assert list(status) == [
        "node", "address", "version", "state", "members", "shards", "rounds",
        "epoch", "cluster_id", "forming", "memory", "read_repairs", "read_repairs_dropped", "overlaps",
        "disk", "set_aside", "unheard", "not_replaced", "refused_calls", "warnings",
    ]  # fmt: skip
    assert (status["node"], status["address"], status["state"]) == ("a", node.address, "ready")
    disk = status["disk"]
    assert isinstance(disk, dict)
    assert disk["state"] == "ok"
    assert disk["free"] > 0
    assert status["set_aside"] == {"count": 0, "keys": []}
    shards = status["shards"]
    assert isinstance(shards, list)
    assert [(shard["group"], shard["shard"]) for shard in shards] == [("many", 0), ("many", 1), ("sw", 0)]
    assert list(shards[2]) == [
        "group", "shard", "replicas", "records", "tombstones", "root", "tree", "last_converged", "moving",
        "behind", "equal_since", "digest", "purged_until", "purge_held_back_by", "stale",
    ]  # fmt: skip


def test_a_tree_that_is_being_built_is_not_called_empty(ask_peer: Cli, peer: Peer) -> None:
    found = status()
    found.shards = [
        messages.ShardStatus(group="sw", shard=0, replicas=["a"], records=7, tree="building"),
        messages.ShardStatus(group="sw", shard=1, replicas=["a"], tree="ready"),
    ]
    peer.answers[services.NODE_STATUS] = found
    lines = [line.split() for line in ask_peer("status").out.splitlines()]
    assert ["sw/0", "a", "7", "0", "building", "never"] in lines
    assert ["sw/1", "a", "0", "0", "ready", "(empty)", "never"] in lines


def test_many_shards_are_summed_up_by_group(ask_peer: Cli, peer: Peer) -> None:
    group = messages.GroupStatus(group="sw", shards=1024, records=20_000, tombstones=3, building=1, behind=2)
    found = status(groups=[group])
    found.shards = []
    peer.answers[services.NODE_STATUS] = found
    table = ask_peer("status").out
    assert "1,024 shards are held here, and summed up by group; --group NAME shows those of one\n" in table
    assert ["sw", "1,024", "20,000", "3", "1", "0", "2", "never"] in [
        line.split() for line in table.splitlines()
    ]
    ask_peer("status", "--group", "sw")
    ask_peer("status", "-o", "json")
    ask_peer("members")
    assert [(asked.group, asked.shards_max) for asked in peer.asked] == [
        ("", SHARDS_SHOWN),
        ("sw", 0),
        ("", 0),
        ("", 1),
    ]
