"""What a node shows of itself to those who watch it: it fills `observe.node_view` from the node's rooms."""
