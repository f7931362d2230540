"""What survives a crash: the records of one node, with the digests and tag indexes made from them.

Begin with `interface`: `Store` is all that the rest of gossipnode sees. `memory` keeps the same promises
without a disk, for tests and simulations; `sqlite` keeps them on disk; `verify` checks a stopped node's file.
`prepared` judges what callers hand in, for both stores alike. DESIGN.md says why it is built this way.
"""
