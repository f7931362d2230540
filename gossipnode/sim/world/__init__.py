"""Models of what is outside a node: processors, network, disks and clocks, with their faults."""
