"""The settings of a node: parsed once, checked as a whole, frozen, handed down.

Begin at `settings`; `values` has a parser for each kind of value, `address` the one for HOST:PORT.
"""
