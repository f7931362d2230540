"""The command line: commands, what they print, and how they end. It decides no rule of the protocol.

Begin at `main`, which finds the module of a command in `commands`. `options` and `output` serve all commands.
"""
