"""The files on the disk: who may open them, what they consist of, and what becomes of them while a node runs.

Begin with `file`, which opens the file that `schema` describes under the lock of `directory_lock`.
`disk_watch` looks at the files of an open store, `log_rot` at the log of one that was ended. `disk_space`
says whether the store may grow, and `reserve` is kept for when it may not.
"""
