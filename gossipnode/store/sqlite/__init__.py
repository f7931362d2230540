"""The durable store: one SQLite file, one thread that writes it, and reads on the loop.

Begin with `sqlite_store`. `disk` opens the file and watches it; a write goes as a job (`jobs`) through
`writer` to `commit`; `reads` gives the loop its read transactions; `digests` and `indexes` keep what is made
from the records; `upkeep` looks after an open store; `open_state` says whether the store still takes calls.
All SQL on rows is in `tables`.
"""
