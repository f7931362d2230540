"""Runs: one scenario or seed from its beginning to its verdicts, and many seeds over several processes."""
