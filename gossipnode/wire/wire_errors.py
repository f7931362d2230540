"""The errors of reading and building messages. The text of each is one line that names the field."""


class WireError(ValueError):
    """Bytes that are not a message of the expected kind, or a message that lacks what it must carry.

    The text names the message and the path of the field, as in `Property.tags[3].value: ...`.
    """


class CrowdedError(WireError):
    """A message with more elements than one of its fields may hold, or with more fields than any may have."""


class UnstorableError(WireError):
    """A property that is well-formed, but that no replica may store; the text says why."""


class InvalidPropertyError(WireError):
    """A property that a replica could store, but that no client may send; the text names the field."""
