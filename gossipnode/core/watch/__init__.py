"""Watches: where one stands, which replicas it listens to, what of a change it tells; and why a record is so.

Begin with `watch_token.py` and `watch_plan.py`. `watch_filter.py` decides which event a change becomes, and
`explanation.py` which version of a record wins.
"""
