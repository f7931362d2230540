"""What a request is refused for: the checks, the errors, and the gRPC status that each becomes."""
