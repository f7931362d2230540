"""Epochs of one node's view of the cluster, as changes make them."""

from __future__ import annotations

from functools import partial

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.changes import Change
from gossipnode.core.cluster.cluster_metadata import Group, Member
from gossipnode.node.local.local_state import LocalState
from tests.core.cluster.clusters import finished
from tests.node.support import birth, see


def change(local: LocalState, *made: Change) -> None:
    """Have a node look at the epoch that these changes make, one after the other."""
    value = local.cluster.metadata
    assert value is not None
    for each in made:
        value = finished(each(value))
    see(local.cluster, value)


def joins(name: str) -> Change:
    return partial(changes.join, newcomer=Member(name, f"{name}:7400", birth(name)))


def replaced(name: str) -> Change:
    """Another store takes the name of a member."""
    newcomer = Member(name, f"{name}:7401", birth(name) + 1)
    return partial(changes.replace_member, newcomer=newcomer, accept_loss=True)


def dropped(name: str) -> Change:
    return partial(changes.drop, name=name, accept_loss=True, force=True)


def leaves(name: str) -> Change:
    return partial(changes.leave, name=name, force=True)


def created(name: str, *, shards: int = 1, replicas: int = 3) -> Change:
    return partial(changes.create_group, group=Group(name, shards, replicas), force=True)


def deleted(name: str) -> Change:
    return partial(changes.delete_group, name=name)


def settled(local: LocalState) -> None:
    """Have a node look at the epoch in which every shard lies where it belongs."""
    under = [(placement.shard, placement.fence) for placement in local.shards.view.unsettled()]
    change(local, partial(changes.settle, filled=under))
