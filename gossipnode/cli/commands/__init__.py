"""One module for each command, named after it. Each has a click command of the name `command`.
Beside them stands `start_lines`, which two of them share.

A module is imported only when its command is called. So it imports what is heavy inside of its functions.
"""
