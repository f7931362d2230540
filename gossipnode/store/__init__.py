"""What survives a crash: one interface, kept by SQLite on disk and by a twin in memory."""
