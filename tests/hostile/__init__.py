"""What each frame and each message costs by the byte: steps of the interpreter and memory, never seconds."""
