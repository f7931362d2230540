"""The settings of a node: parsed once, checked as a whole, frozen, handed down."""
