"""The offline check of a whole store: all that is kept beside the payloads is computed again and compared.

Begin with `check_store`; `check_indexes` is its part for the tag indexes.
"""
