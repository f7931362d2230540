"""Tests of how epochs are decided."""
