"""What a node shows of itself: its logs on stderr.

`logs` sets them up, once for the process. Other rooms log through structlog and import nothing from here.
"""
