"""The metrics of a node, in the text format of Prometheus.

`node_metrics` puts them together; `event_counts` counts what is told, `figure_lines` writes what is gathered.
"""
