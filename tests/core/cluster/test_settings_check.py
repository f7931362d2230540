"""What a configuration says against what the cluster has: what is refused, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.core.cluster.cluster_metadata import Group
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.settings_check import (
    Formation,
    formation_of,
    forming_difference,
    refused_settings,
    settings_differences,
    shape,
)
from tests.core.cluster.clusters import formed

GROUP = Group("sw", shards=3, replicas=2)


@pytest.mark.parametrize(("shards", "replicas"), [(2, 2), (3, 3), (2, 3)])
def test_another_shape_of_a_group_is_refused_with_both(shards: int, replicas: int) -> None:
    configured = Group("sw", shards=shards, replicas=replicas)
    assert refused_settings(formed("abc", Group("a"), GROUP), [Group("a"), configured]) == (
        f"the cluster has sw:3:2, the settings say {shape(configured)}: correct the settings "
        "(`group alter sw --replicas N` changes the number of replicas in the cluster; the number of shards "
        "cannot change)"
    )


def test_what_else_differs_is_not_refused() -> None:
    configured = replace(
        GROUP, ack=AckLevel.ALL, indexes=("t",), tombstone_retention_seconds=9, incarnation=5
    )
    value = formed("abc", GROUP)
    for groups in ([], [configured], [Group("unknown", shards=9)]):
        assert refused_settings(value, groups) == ""


def test_settings_that_say_the_same_differ_in_nothing() -> None:
    value = formed("abc", replace(GROUP, indexes=("t", "u")), foreign={"p": "p:1"})
    configured = {"sw": replace(GROUP, indexes=("u", "t"))}
    assert settings_differences(value, configured, ["a", "b", "c", "p"]) == []
    assert settings_differences(value, {}, []) == []


def test_each_difference_is_told_with_the_command_to_use() -> None:
    configured = {
        "sw": replace(GROUP, ack=AckLevel.ALL, tombstone_retention_seconds=60, indexes=("t", "u")),
        "new": Group("new", shards=4, replicas=1),
    }
    assert settings_differences(formed("abc", GROUP), configured, ["b", "d"]) == [
        "peer d is in the settings and is no member: it becomes one by run --join",
        "group sw: ack is quorum in the cluster and all in the settings: `group alter sw --ack` changes it",
        "group sw: retention is 604800s in the cluster and 60s in the settings: `group alter sw --retention` "
        "changes it",
        "group sw: index is none in the cluster and t u in the settings: `group alter sw --index` changes it",
        "group new is in the settings and not in the cluster: `group create new --shards 4 --replicas 1` "
        "makes it",
    ]


def test_indexes_that_the_settings_do_not_have_are_told_too() -> None:
    (told,) = settings_differences(formed("abc", replace(GROUP, indexes=("t",))), {"sw": GROUP}, [])
    assert "index is t in the cluster and none in the settings" in told


def test_nodes_with_the_same_configuration_form_a_cluster_in_any_order() -> None:
    assert (
        forming_difference(Formation("ab", [GROUP, Group("a")]), Formation("ba", [Group("a"), GROUP])) == ""
    )


def test_nodes_with_other_members_form_none() -> None:
    assert (
        forming_difference(Formation("ba", []), Formation("cba", []))
        == "its members are a, b, c, ours are a, b"
    )
    assert forming_difference(Formation("a", []), Formation("", [])) == "its members are none, ours are a"


def test_nodes_with_other_foreign_members_form_none() -> None:
    assert forming_difference(Formation("a", []), Formation("a", [], "p")) == (
        "its foreign members are p, ours are none"
    )


def test_an_epoch_is_what_its_configuration_says() -> None:
    one, two = replace(GROUP, indexes=("t", "u")), replace(GROUP, indexes=("u", "t"))
    assert forming_difference(Formation("ba", [one]), formation_of(formed("ab", two))) == ""
    assert forming_difference(Formation("abc", [one]), formation_of(formed("ab", two)))


def test_nodes_with_other_groups_form_none() -> None:
    assert forming_difference(Formation("ab", [GROUP]), Formation("ab", [])) == (
        "it has no group sw, we have sw:3:2 (ack quorum, retention 604800s)"
    )
    other = replace(GROUP, shards=2, ack=AckLevel.ONE, indexes=("t", "u"))
    assert forming_difference(Formation("ab", [GROUP]), Formation("ab", [other])) == (
        "it has sw:2:2 (ack one, retention 604800s indexed by t u), we have sw:3:2 (ack quorum, retention "
        "604800s)"
    )
    for other in (replace(GROUP, tombstone_retention_seconds=9), replace(GROUP, replicas=1)):
        assert forming_difference(Formation("ab", [GROUP]), Formation("ab", [other]))
