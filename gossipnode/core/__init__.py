"""Pure decisions: no await, no I/O, no clock, and no random number that was not passed in.

Every rule of the protocol lives in this package. It imports the standard library and xxhash alone.
"""
