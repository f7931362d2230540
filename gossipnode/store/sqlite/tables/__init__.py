"""The rows of the file: functions on a connection, each short and without an await.

Begin with `rows`. `index_table` has the tag indexes and `drop` removes a shard. `entity_key` is the key of an
entity's row, `statements` packs many rows into one statement. `damage` recognises a payload that has rotted,
and `set_aside` takes such a record out of the tables.
"""
