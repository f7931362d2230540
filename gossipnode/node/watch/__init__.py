"""What becomes of records: watches, waits until every replica has one, and why one is what it is.

Begin with `group_watch.py`, a client's watch over all shards of a group. `store_news.py` tells what this
node's store learns, `local_feed.py` and `remote_feed.py` bring the changes of one replica.
"""
