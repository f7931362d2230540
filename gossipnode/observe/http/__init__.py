"""Metrics, health and the status page over HTTP, at `[node] status_listen`.

`status_app` answers requests, `status_server` carries them: hypercorn, over connections with limits of ours.
"""
