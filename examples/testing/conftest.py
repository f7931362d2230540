"""Gives the tests beside this file the fixtures of gossipnode."""

pytest_plugins = ["gossipnode.sim.pytest_plugin"]
