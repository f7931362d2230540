"""Calls to a cluster: which node is asked, what is tried again, how a long answer is read.

Begin with `pool`, which tries a call at one node after the other by the rules of `retry_rules`, `node_choice`
and `failures`; `query_run` does so for a query. `connection` is the client of one node that the command line
uses, and `importer` writes many records through it. `requests` builds messages for both clients.
"""
