"""A property on its way to become a new version: read once, merged, stamped, written once.

It is for the writes of clients. Parsing and encoding the property again for each step would cost more than
the steps themselves.
"""

from __future__ import annotations

from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.payload import check_property
from gossipnode.wire.wire_errors import CrowdedError, InvalidPropertyError


class Draft:
    """A parsed property that is to become a new version of its record."""

    __slots__ = ("_message", "entity")

    def __init__(self, entity: Entity, message: Property) -> None:
        """Use `read_draft` and `draft_of` to make one."""
        self.entity = entity
        self._message = message

    @property
    def create_revision(self) -> int:
        """When the property was created, by the revision (nanoseconds) that it was given."""
        return self._message.metadata.create_revision

    @property
    def tag_count(self) -> int:
        """How many tags it has."""
        return len(self._message.tags)

    def over(self, existing: bytes) -> Draft:
        """This draft with the tags of a stored property under it.

        A tag of the draft takes the place of the stored one with its key; new tags follow in their order.
        Everything but the tags is the draft's.
        """
        merged = {tag.key: tag for tag in Property.FromString(existing).tags}
        merged.update({tag.key: tag for tag in self._message.tags})
        result = Property()
        result.CopyFrom(self._message)
        result.ClearField("tags")
        result.tags.extend(merged.values())
        return Draft(self.entity, result)

    def without_tags(self) -> Draft:
        """This draft with its metadata and key alone."""
        bare = Property()
        bare.CopyFrom(self._message)
        bare.ClearField("tags")
        return Draft(self.entity, bare)

    def stamped(
        self,
        *,
        create_revision: int,
        mod_revision: int,
        updated_at_ns: int | None = None,
        delete_time: int = 0,
        built_upon: int | None = None,
    ) -> Record:
        """The record with these stamps, all in nanoseconds; None leaves `updated_at` as it is.

        `built_upon` is kept beside it, see `Record`.

        Raises:
            InvalidPropertyError: it is larger than a property may be, or it lives and holds more elements.
        """
        message = self._message
        metadata = message.metadata
        metadata.create_revision = create_revision
        metadata.mod_revision = mod_revision
        if updated_at_ns is not None:
            moment = message.updated_at
            moment.SetInParent()
            moment.seconds, moment.nanos = divmod(updated_at_ns, NANOSECONDS_PER_SECOND)
        payload = message.SerializeToString(deterministic=True)
        if len(payload) > PROPERTY_MAX_BYTES:
            size = len(payload)
            raise InvalidPropertyError(f"property of {size} bytes is over {PROPERTY_MAX_BYTES} bytes")
        if not delete_time:
            # What an older version stored may hold more, and can still be deleted.
            try:
                check_elements(Property, payload, "property")
            except CrowdedError as fault:
                raise InvalidPropertyError(str(fault)) from None
        version = Version(mod_revision, delete_time, payload_digest(payload))
        return Record(self.entity, version, payload, built_upon)


def read_draft(data: bytes, path: str = "property") -> Draft:
    """A client's Property, checked as by `check_property`.

    Raises: as `check_property`.
    """
    entity, parsed = check_property(data, path)
    # Unknown fields were left out of the parsed message, and must not get lost.
    message = Property.FromString(parsed.canonical) if parsed.has_unknown else parsed.message
    return Draft(entity, message)


def draft_of(record: Record) -> Draft:
    """A stored record, to be given new stamps."""
    return Draft(record.entity, Property.FromString(record.payload))
