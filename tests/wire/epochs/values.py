"""Values of epochs that changes have made, and messages with bytes that have changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.changes import Change, ChangeRefusedError
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.placement import AckLevel
from tests.core.cluster.clusters import drop, formed, member, replace_member, settle

BIRTHS = st.integers(0, 2**64 - 1)
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "héhé", "node-7.example"])
GROUP_NAMES = st.sampled_from(["g", "h", "straße"])


def moved_value() -> ClusterMetadata:
    """A value in which everything stands that a value can hold."""
    value = formed(
        "abcd", Group("g", 2, 2), Group("h", 3, 3, indexes=("t", "u")), foreign={"p": "p:1", "q": "q:1"}
    )
    value = changes.create_group(value, Group("i", 2, 2))
    value = changes.create_group(value, Group("k"))
    steps: Sequence[Change] = (
        lambda now: changes.join(now, member("e", 2**64 - 1)),
        lambda now: changes.alter_group(now, "g", lambda group: replace(group, replicas=3)),
        lambda now: changes.leave(now, "b"),
        lambda now: changes.join(now, member("x", 5)),
        lambda now: changes.join(now, member("y", 6)),
        lambda now: drop(now, "x"),
        lambda now: drop(now, "y"),
    )
    for step in steps:
        value = step(value)
    return value


@st.composite
def values(draw: st.DrawFn) -> ClusterMetadata:
    """A value that some changes have made."""
    groups = draw(st.lists(groups_of(st.just(1)), max_size=2, unique_by=lambda group: group.name))
    foreign = draw(st.dictionaries(st.sampled_from(["p", "q"]), st.just("p:1")))
    value = formed(draw(st.sampled_from(["a", "abc", "abcde"])), *groups, foreign=foreign)
    for change in draw(st.lists(some_changes(), max_size=10)):
        try:
            value = change(value)
        except ChangeRefusedError:
            continue
    return value


def groups_of(incarnations: st.SearchStrategy[int]) -> st.SearchStrategy[Group]:
    return st.builds(
        Group,
        GROUP_NAMES,
        st.integers(1, 4),
        st.integers(1, 4),
        st.sampled_from([AckLevel.ONE, AckLevel.QUORUM, AckLevel.ALL]),
        st.integers(1, 10**6),
        st.lists(st.text(min_size=1, max_size=3), max_size=2, unique=True).filter(_encodable).map(tuple),
        incarnations,
    )


def _encodable(tags: Sequence[str]) -> bool:
    return all(tag.isprintable() for tag in tags)


@st.composite
def some_changes(draw: st.DrawFn) -> Change:
    """Any change; loss and force are accepted."""
    name, group, number = draw(NAMES), draw(GROUP_NAMES), draw(st.integers(1, 4))
    newcomer, made = member(name, draw(BIRTHS)), draw(groups_of(st.just(1)))

    def alter(now: ClusterMetadata) -> ClusterMetadata:
        return changes.alter_group(now, group, lambda known: replace(known, replicas=number), force=True)

    def settled(now: ClusterMetadata) -> ClusterMetadata:
        return settle(now, [(each, now.place(each).fence) for each in now.shards()][::number])

    some: Sequence[Change] = (
        lambda now: changes.join(now, newcomer),
        lambda now: replace_member(now, newcomer, accept_loss=True),
        lambda now: changes.leave(now, name, force=True),
        lambda now: drop(now, name),
        lambda now: drop(now, name, accept_loss=True, force=True),
        lambda now: changes.create_group(now, made, force=True),
        lambda now: changes.delete_group(now, group),
        alter,
        settled,
    )
    return draw(st.sampled_from(some))


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """These bytes after a few of them were changed, left out, added or said again."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(damaged) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                damaged[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del damaged[at : at + draw(st.integers(1, 8))]
            case 2:
                damaged[at:at] = draw(st.binary(max_size=4))
            case 3:
                damaged[at : at + 1] = bytes([damaged[at] ^ 1 << draw(st.integers(0, 7))]) if damaged else b""
            case _:
                damaged += damaged[at : at + draw(st.integers(1, 40))]
    return bytes(damaged)
