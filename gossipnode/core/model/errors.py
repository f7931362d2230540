"""The errors of the core. Each message names what is wrong and what was expected."""


class CoreError(ValueError):
    """Base of the errors that the core raises."""


class InvalidEntityError(CoreError):
    """A group, a name or an id that no property may have."""


class InvalidRecordError(CoreError):
    """A record that no replica may store: a revision out of range, or a payload over the limit."""


class SessionViolationError(CoreError):
    """The peer of a session sent what the protocol does not allow at this point."""


class SlotCountError(SessionViolationError):
    """The peer divides its tree into another number of slots, so that no slot can be compared."""


class InvalidRoundError(CoreError):
    """The message of a round that does not fit our own view of the members."""
