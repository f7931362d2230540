"""Tells one caller of this node from another, so that each can be given its share of what all need."""

from __future__ import annotations

from collections.abc import Container

from gossipnode.concurrency.shares import Caller
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import CallContext


def caller_of(call: CallContext, members: Container[str]) -> Caller:
    """Who makes a call; `members` are the names of the members.

    It is the name that it says if its certificate has that name, else all names of the certificate. Without a
    certificate it is the address without the port, for anybody can open one more connection, with the name
    that it says if a member has that name: members may share an address with each other, and with clients.
    """
    said = call_metadata.text(call.metadata, call_metadata.NODE)
    names = call.peer_certificate_names
    if names:
        name = said if said in names else " ".join(sorted(names))
        return Caller(name, any(each in members for each in names))
    address = call.peer.rpartition(":")[0] or call.peer
    if said and said in members:
        return Caller(f"{said} at {address}", member=True)
    return Caller(address)
