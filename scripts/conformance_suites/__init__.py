"""Suites made elsewhere that judge the gRPC and HTTP/2 of gossipnode/rpc; scripts/conformance runs them.

Begin with `command.py`. `h2spec.py` and `interop.py` run the suites, `go_tools.py` builds what they need, and
`allowed.py` holds the failures that are accepted, each with its reason.
"""
