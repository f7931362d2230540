"""Real node processes, met as strangers meet them: by stock gRPC, hostile bytes, signals and a full disk."""
