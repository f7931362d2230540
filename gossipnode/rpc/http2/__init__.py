"""One HTTP/2 connection: its pure state, and the driver that moves its bytes."""
