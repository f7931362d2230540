"""Real nodes and a compatible peer that is not ours, which is made of stock gRPC: client, server, member."""
