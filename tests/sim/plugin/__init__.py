"""Clusters and faults for the tests of applications."""
