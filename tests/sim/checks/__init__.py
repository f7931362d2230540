"""Tests of the checks of a simulated run."""
