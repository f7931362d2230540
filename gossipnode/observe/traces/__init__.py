"""Traces: how long each part of a round or of a request took, over all the nodes that took part in it.

Begin with `traces.py`, which the rooms of a node are handed. `otel_traces.py` makes spans of OpenTelemetry of
it, and is the only module that imports its API; `trace_export.py` sets up what sends them away.
"""
