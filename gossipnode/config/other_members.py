"""The members that the settings of a node name, checked against the node's own name and addresses."""

from __future__ import annotations

from typing import Any

from gossipnode.config.address import Address
from gossipnode.config.keys import SettingsError


def other_members(peers: dict[str, Address], node: dict[str, Any]) -> dict[str, Address]:
    """The peers by name, without the node itself.

    Raises:
        SettingsError: one has the node's name or address, or two have the same address.
    """
    own = {node["listen"], node["advertise"]}
    others: dict[str, Address] = {}
    seen: dict[Address, str] = {}
    for name, address in peers.items():
        if name == node["name"]:
            # The files of all nodes may share one list of members, which then names the node itself.
            if address not in own:
                raise SettingsError(
                    f"peer {name!r} at {address} has this node's own name: give every member its own"
                )
            continue
        if address in own:
            raise SettingsError(f"peer {name!r} has this node's own address {address}")
        if address in seen:
            raise SettingsError(f"peers {seen[address]!r} and {name!r} have the same address {address}")
        seen[address] = name
        others[name] = address
    return others


def foreign_members(
    foreign: dict[str, Address], peers: dict[str, Address], node: dict[str, Any]
) -> dict[str, Address]:
    """The foreign members by name.

    Raises:
        SettingsError: one has the name of a member of our own.
    """
    for name in foreign:
        if name in peers or name == node["name"]:
            raise SettingsError(f"{name!r} is a foreign member and one of our own: name it once")
    return foreign


def others_to_join(addresses: tuple[Address, ...], node: dict[str, Any]) -> tuple[Address, ...]:
    """The addresses without the node's own. All nodes may share one list, and the first joins nobody."""
    own = {node["listen"], node["advertise"]}
    return tuple(address for address in addresses if address not in own)
