"""Benchmarks of whole nodes: real processes, loopback, durable stores, records of 2 KB in 14 tags."""
