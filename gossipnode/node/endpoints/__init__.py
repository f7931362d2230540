"""One module for each proto service: decode, check, call, encode."""
