"""The offline check of a whole store: all that is kept beside the payloads is computed again from them."""
