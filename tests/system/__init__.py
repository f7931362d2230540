"""Real node processes, met as strangers meet them: by stock gRPC, hostile bytes, signals and a full disk.

Begin with `nodes.py`, which starts nodes, and `stock_client.py`, which calls them.
"""
