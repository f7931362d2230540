"""Strategies that the tests of several forms of text share."""

from __future__ import annotations

from hypothesis import strategies as st

from gossipnode.core.model.tag_value import Timestamp

moments = st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
"""From year 1 to 9999."""
