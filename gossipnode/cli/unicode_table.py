"""The Unicode character table of the standard library, as records: real data that is always at hand."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from fractions import Fraction

from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import TagValue

LAST_CODE_POINT = 0x11FFF
"""The living scripts and their nearest kin. Cuneiform, hieroglyphs and emoji come after it."""
_NAMED_BY_RULE = ("CJK UNIFIED IDEOGRAPH", "HANGUL SYLLABLE")


def unicode_records(group: str) -> Iterator[StoredProperty]:
    """A record for each assigned character that has a name, in code point order: over 20,000 records.

    Ideographs and Hangul syllables, whose names are made by rule, are left out.
    """
    for code in range(LAST_CODE_POINT + 1):
        letter = chr(code)
        name = unicodedata.name(letter, "")
        if name and not name.startswith(_NAMED_BY_RULE):
            yield StoredProperty(Entity(group, "unicode", f"U+{code:04X}"), _tags(letter, name))


def _tags(letter: str, name: str) -> dict[str, TagValue]:
    tags: dict[str, TagValue] = {
        "name": name,
        "category": unicodedata.category(letter),
        "code_point": ord(letter),
    }
    if bidirectional := unicodedata.bidirectional(letter):
        tags["bidirectional"] = bidirectional
    if (value := unicodedata.numeric(letter, None)) is not None:
        tags["numeric"] = int(value) if value.is_integer() else str(Fraction(value).limit_denominator(1000))
    if decomposition := unicodedata.decomposition(letter):
        tags["decomposition"] = decomposition
    return tags
