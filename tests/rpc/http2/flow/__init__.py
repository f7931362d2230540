"""What may be sent and is read: windows, buffers, and the tasks that wait for them."""
