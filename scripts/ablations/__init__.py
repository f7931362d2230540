"""Safeguards of the product, taken out one at a time, and what the simulator finds then."""
