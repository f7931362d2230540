"""Which versions overlap: those that took the place of one which their writer had certainly not seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.arrival import is_overlap

REPLICAS = st.integers(0, 2)
SUBSETS = st.frozensets(REPLICAS, min_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), SUBSETS, SUBSETS),
        st.tuples(st.just("delete"), SUBSETS, SUBSETS),
        st.tuples(st.just("session"), REPLICAS, REPLICAS),
        st.tuples(st.just("purge"), REPLICAS, REPLICAS),
    ),
    max_size=25,
)


@dataclass(frozen=True)
class Made:
    """A version of the one record of the model, with all versions that it includes."""

    stamp: int
    built_upon: int | None
    deleted: bool = False
    includes: frozenset[int] = frozenset()

    @property
    def stamps(self) -> tuple[int, int]:
        return (self.stamp, self.stamp) if self.deleted else (self.stamp, 0)


@dataclass
class Model:
    """Three replicas of one record: what they hold, and what took the place of what."""

    held: list[Made | None] = field(default_factory=lambda: [None] * 3)
    made: int = 0
    newest: Made | None = None
    replaced: list[tuple[Made, Made]] = field(default_factory=list[tuple[Made, Made]])

    def write(self, upon: Made | None, to: frozenset[int], *, deleted: bool) -> None:
        self.made += 1
        includes = upon.includes | {upon.stamp} if upon else frozenset[int]()
        version = Made(self.made, upon.stamp if upon else 0, deleted, includes)
        self.newest = version
        for replica in to:
            self.take(replica, version)

    def take(self, replica: int, version: Made | None) -> None:
        before = self.held[replica]
        if version is not None and (before is None or version.stamp > before.stamp):
            self.held[replica] = version
            if before is not None:
                self.replaced.append((version, before))

    def seen(self, asked: frozenset[int]) -> Made | None:
        """The newest of what these replicas hold."""
        return max((each for at in asked if (each := self.held[at])), key=lambda it: it.stamp, default=None)

    def overlaps(self) -> list[tuple[Made, Made]]:
        return [each for each in self.replaced if is_overlap(each[0].built_upon, each[1].stamps)]


@given(STEPS)
def test_writes_one_after_the_other_never_overlap(
    steps: list[tuple[str, frozenset[int], frozenset[int]]],
) -> None:
    # Each writer sees the last version, or nothing once its tombstone is purged; any replicas take the write.
    model = Model()
    purged: Made | None = None
    for verb, first, second in steps:
        match verb, first, second:
            case "session", int(source), int(target):
                model.take(target, model.held[source])
            case "purge", int(at), _:
                # A proof says that every replica had the tombstone; each purges it at a time of its own.
                tombstone = model.newest
                if tombstone is not None and tombstone.deleted and None not in model.held:
                    model.held = [tombstone] * 3
                    model.held[at] = None
                    purged = tombstone
            case _:
                gone = model.newest is purged
                model.write(None if gone else model.newest, frozenset(second), deleted=verb == "delete")
    assert model.overlaps() == []


@given(STEPS)
def test_what_overlaps_was_never_included(steps: list[tuple[str, frozenset[int], frozenset[int]]]) -> None:
    # Writers see what the replicas hold that they ask, and miss what others hold.
    model = Model()
    for verb, first, second in steps:
        match verb, first, second:
            case "session", int(source), int(target):
                model.take(target, model.held[source])
            case "purge", _, _:
                pass
            case _:
                model.write(model.seen(frozenset(first)), frozenset(second), deleted=verb == "delete")
    for version, before in model.overlaps():
        assert before.stamp not in version.includes


@given(st.lists(st.booleans(), max_size=4), st.booleans())
def test_one_write_on_either_side_of_a_cut_is_noticed_where_they_meet(
    before: list[bool], deletes: bool
) -> None:
    model = Model()
    model.write(None, frozenset({0, 1, 2}), deleted=False)
    for deleted in before:
        model.write(model.newest, frozenset({0, 1, 2}), deleted=deleted)
    common = model.newest
    model.write(common, frozenset({0}), deleted=False)
    model.write(common, frozenset({1, 2}), deleted=deletes)
    assert model.overlaps() == []
    model.take(1, model.held[0])
    model.take(0, model.held[1])
    assert [version.stamp for version, _ in model.overlaps()] == [model.made]


def test_what_is_not_known_is_no_overlap() -> None:
    assert is_overlap(3, (4, 0))
    assert is_overlap(0, (4, 0))
    assert is_overlap(3, (2, 4))
    assert not is_overlap(4, (4, 0))
    assert not is_overlap(None, (4, 0))
    # A writer that saw nothing may have come after the tombstone was purged elsewhere.
    assert not is_overlap(0, (4, 4))
