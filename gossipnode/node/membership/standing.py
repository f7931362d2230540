"""Where members are, and why the store of this node does not belong to a member."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Identity
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.peers.members import Members

ADDRESSES_REMEMBERED: Final = 1024
"""How many texts are parsed once. Where members are is looked at every few seconds, and rarely changes."""


async def keep_channels(settings: Settings, cluster: ClusterState, members: Members) -> None:
    """Have a channel to every member of the newest epoch, and to no other node."""
    known = settings.cluster if cluster.metadata is None else cluster.metadata
    await members.sync(addresses(settings, cluster, members), known.foreign)


def not_a_member(value: ClusterMetadata, own: Identity) -> str:
    """Why a store does not belong to a member of the cluster, and what to do."""
    known = value.members.get(own.name)
    if known is not None:
        return (
            f"another data directory is the member {own.name} since epoch {value.epoch} at the latest, at "
            f"{known.address}: give this node a name of its own (with --join ADDR --as-new if others lack "
            "what it holds), or start it with --join --replace if that directory is lost for good"
        )
    if own.name in value.forgotten:
        return (
            f"the cluster has forgotten {own.name}: start it with --join ADDR --as-new to have it back as a "
            "new member with the records of this data directory, which others may lack if it was away when "
            "it was forgotten"
        )
    return (
        f"the cluster has no member {own.name}: start it with --join ADDR, and with --as-new if this data "
        "directory has records"
    )


def addresses(settings: Settings, cluster: ClusterState, members: Members) -> dict[str, Address]:
    """Where each member is: as it said itself, else by the newest epoch, else by the configuration.

    An address at which a member was looked for in vain comes after those that were not tried yet.
    """
    found: dict[str, Address] = {}
    value = cluster.metadata
    if value is None:
        return {**settings.members, **settings.cluster.foreign}
    known = {name: member.address for name, member in value.members.items()} | dict(value.foreign)
    configured = settings.members
    for name, address in known.items():
        choices = list(_parsed(members.said_addresses.get(name, ""), address))
        if name in configured:
            choices.append(configured[name])
        in_vain = members.in_vain.get(name, ())
        for choice in (*(each for each in choices if each not in in_vain), *choices[:1]):
            found[name] = choice
            break
    return found


def look_elsewhere(members: Members) -> None:
    """Take note of the members that have never answered at the address where they are looked for."""
    for name, peer in members.peers.items():
        if peer.state != "down" or peer.birth:
            continue
        if peer.address in members.in_vain.get(name, ()):
            # All its addresses were tried, so that it was looked for at the first one again.
            members.in_vain[name] = {peer.address}
        else:
            members.in_vain.setdefault(name, set()).add(peer.address)


def _parsed(*texts: str) -> Iterator[Address]:
    return (address for text in texts if (address := _address(text)) is not None)


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None
