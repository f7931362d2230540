"""What a side of a reconcile session answers to sums and tags: how two replicas find what differs.

Sums of longer and longer prefixes are compared until a prefix has only few items. Then the tags of these are
compared. What only one side can hold is sent or asked for without a question more.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.session.reconcile.item_index import FAN_OUT, FAN_OUT_BITS, LEVEL_MAX, ItemIndex
from gossipnode.core.session.reconcile.reconcile_messages import Sums, Tags, WantsAll

TAGGED_MAX_ITEMS = 40
"""A prefix with this many items or fewer is compared by tags, which have four bytes each."""

OFFERED_MAX_ITEMS = 80
"""How many items a side offers in answer to the tags of a prefix. If it holds more, it sends sums again."""

DENSE_SHARE = 0.5
"""Where so much of what was compared differs, two levels are compared in one step."""

DOWN_MAX = 2
"""The number of levels that a message of sums goes down at most."""

SUM_BYTES = 5
"""What is said of a sum. Two that differ look alike once in 2^40 times, until the next write there."""

_SUM_MASK = (1 << 8 * SUM_BYTES) - 1

MESSAGE_MAX_SUMS = 2048
MESSAGE_MAX_TAGS = 4096
"""What a message has at most, so that none takes more than some milliseconds to answer."""


@dataclass(slots=True)
class Findings:
    """What comes of a question."""

    questions: list[Sums | Tags | WantsAll] = field(default_factory=list[Sums | Tags | WantsAll])
    send: list[int] = field(default_factory=list[int])
    """The numbers of records that the other side lacks."""
    send_all: list[int] = field(default_factory=list[int])
    """Prefixes with which the other side holds nothing, all of level `level`."""
    level: int = 0
    positions: list[int] = field(default_factory=list[int])
    """Positions of tags that stand for nothing here."""
    offers: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Entity hash and number of items that the other side may lack."""


def answer_sums(index: ItemIndex, theirs: Sums) -> Findings:
    """Compare sums with our own.

    Raises:
        SessionViolationError: the message contradicts itself.
    """
    wide = FAN_OUT**theirs.down if 0 < theirs.down <= DOWN_MAX else 0
    check_prefixes(theirs.level, theirs.prefixes)
    if not wide or theirs.level + theirs.down > LEVEL_MAX or len(theirs.sums) != wide * len(theirs.prefixes):
        raise SessionViolationError("sums: not as many as the prefixes need")
    level = theirs.level + theirs.down
    found = Findings(level=level)
    all_of: list[int] = []
    tagged: list[int] = []
    deeper: list[int] = []
    differing = 0
    for at, prefix in enumerate(theirs.prefixes):
        first = prefix << FAN_OUT_BITS * theirs.down
        ours = short_sums(index, theirs.level, prefix, theirs.down)
        for child, (own, their) in enumerate(
            zip(ours, theirs.sums[at * wide : at * wide + wide], strict=True)
        ):
            if own == their:
                continue
            differing += 1
            if not their:
                found.send_all.append(first + child)
            elif not own:
                all_of.append(first + child)
            elif level == LEVEL_MAX or index.count_at(level, first + child) <= TAGGED_MAX_ITEMS:
                tagged.append(first + child)
            else:
                deeper.append(first + child)
    if all_of:
        found.questions.append(WantsAll(level, array("Q", all_of)))
    found.questions.extend(tags_of(index, level, tagged))
    dense = differing >= DENSE_SHARE * len(theirs.sums) and level + DOWN_MAX <= LEVEL_MAX
    found.questions.extend(sums_of(index, level, deeper, DOWN_MAX if dense else 1))
    return found


def answer_tags(index: ItemIndex, theirs: Tags) -> Findings:
    """Compare tags with those of our own items.

    Raises:
        SessionViolationError: the message contradicts itself.
    """
    check_prefixes(theirs.level, theirs.prefixes)
    if len(theirs.counts) != len(theirs.prefixes) or sum(theirs.counts) != len(theirs.tags):
        raise SessionViolationError("tags: not as many as the counts say")
    found = Findings()
    deeper: list[int] = []
    start = 0
    for prefix, count in zip(theirs.prefixes, theirs.counts, strict=True):
        positions = {tag: start + at for at, tag in enumerate(theirs.tags[start : start + count])}
        start += count
        items = index.items(theirs.level, prefix)
        own = [
            (entity_hash, number)
            for entity_hash, number, tag in zip(items.entity_hashes, items.numbers, items.tags(), strict=True)
            if positions.pop(tag, None) is None
        ]
        if not positions:
            found.send.extend(number for _, number in own)
        elif len(own) <= OFFERED_MAX_ITEMS or theirs.level == LEVEL_MAX:
            found.positions.extend(positions.values())
            found.offers.extend(own)
        else:
            deeper.append(prefix)
    found.questions.extend(sums_of(index, theirs.level, deeper, 1))
    return found


def sums_of(index: ItemIndex, level: int, prefixes: Sequence[int], down: int) -> list[Sums]:
    """Messages with the sums of all prefixes that are `down` levels longer than these."""
    most = MESSAGE_MAX_SUMS // FAN_OUT**down
    parts = [array("Q", prefixes[at : at + most]) for at in range(0, len(prefixes), most)]
    return [
        Sums(
            level,
            part,
            down,
            array("Q", chain.from_iterable(short_sums(index, level, each, down) for each in part)),
        )
        for part in parts
    ]


def short_sums(index: ItemIndex, level: int, prefix: int, down: int) -> list[int]:
    """`ItemIndex.sums`, as far as they are said."""
    return [each & _SUM_MASK for each in index.sums(level, prefix, down)]


def tags_of(index: ItemIndex, level: int, prefixes: Sequence[int]) -> list[Tags]:
    """Messages with the tags of all our items with these prefixes, each of which has few."""
    messages: list[Tags] = []
    left = iter(prefixes)
    most = MESSAGE_MAX_TAGS // TAGGED_MAX_ITEMS
    while part := array("Q", islice(left, most)):
        tags = [index.items(level, prefix).tags() for prefix in part]
        messages.append(Tags(level, part, array("I", map(len, tags)), array("I", chain(*tags))))
    return messages


def check_prefixes(level: int, prefixes: Sequence[int]) -> None:
    """Check prefixes that a peer says.

    Raises:
        SessionViolationError: one is not of this level, or they do not ascend.
    """
    end = 1 << FAN_OUT_BITS * level if 0 <= level <= LEVEL_MAX else 0
    before = -1
    for prefix in prefixes:
        if not before < prefix < end:
            raise SessionViolationError(f"prefixes: {prefix} after {before} at level {level}")
        before = prefix
