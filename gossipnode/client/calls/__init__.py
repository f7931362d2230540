"""Calls to a cluster: which node is asked, what is tried again, how a long answer is read."""
