"""What happened in a simulated run: what clients asked and heard, what rounds said, what nodes did."""
