"""A fuzzer of our own: it changes inputs and keeps those that reach lines which none reached before.

Begin with `fuzzer`. It knows no layer: a layer is a function that takes an input and raises where a promise
is broken. They stand in tests/fuzz, with the inputs that are kept, because the tests replay those.
"""
