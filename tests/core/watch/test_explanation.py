"""Which version of a record wins, and why, in words."""

from __future__ import annotations

import pytest

from gossipnode.core.model.version import Version
from gossipnode.core.watch.explanation import ReplicaVersion, Winner, winner_of


def version(revision: int, deleted: int = 0, digest: bytes = b"d") -> Version:
    return Version(revision, deleted, digest)


@pytest.mark.parametrize(
    ("held", "nodes", "why"),
    [
        ((None, None), (), "no replica holds it"),
        ((version(3), version(3)), ("a", "b"), "all replicas hold this version"),
        ((version(3), None), ("a",), "it is the only version; b holds nothing"),
        ((version(3), version(5)), ("b",), "its revision 5 is larger than 3"),
        (
            (version(3), version(3, 9)),
            ("b",),
            "the revisions are equal, and a delete wins over a live record",
        ),
        ((version(3, 7), version(3, 9)), ("b",), "the revisions are equal, and it was deleted later, at 9"),
        (
            (version(3, 0, b"x"), version(3, 0, b"a")),
            ("a",),
            "the revisions are equal, and the larger digest of the content wins",
        ),
    ],
)
def test_the_winner(held: tuple[Version | None, ...], nodes: tuple[str, ...], why: str) -> None:
    replicas = [ReplicaVersion(name, each) for name, each in zip("ab", held, strict=False)]
    assert winner_of(replicas) == Winner(nodes, why)


def test_replicas_that_do_not_answer_are_left_out() -> None:
    silent = ReplicaVersion("c", problem="down")
    assert winner_of([silent]).why == "no replica that answers holds it"
    both = [ReplicaVersion("a", version(1)), silent]
    assert winner_of(both) == Winner(("a",), "all replicas that answer hold this version")


def test_a_replica_tells_whether_its_version_took_the_place_of_one_that_its_writer_had_not_seen() -> None:
    assert ReplicaVersion("a", version(9), None, (4, 0), built_upon=3).overlap
    assert ReplicaVersion("a", version(9), None, (2, 4), built_upon=3).overlap
    assert not ReplicaVersion("a", version(9), None, (3, 0), built_upon=3).overlap
    assert not ReplicaVersion("a", version(9), None, (4, 0)).overlap
    assert not ReplicaVersion("a", version(9), built_upon=3).overlap
