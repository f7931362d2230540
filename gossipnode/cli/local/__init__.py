"""Nodes on this machine: those of `cluster`, of `demo` and of `run --dev`."""
