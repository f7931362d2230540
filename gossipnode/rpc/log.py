"""The logger of this package. An application that sets up no logging sees nothing of it."""

import logging
from typing import Final

log: Final = logging.getLogger("gossipnode.rpc")

# Without a handler, as in a command that sets up no logging, the standard library prints warnings on stderr.
logging.getLogger("gossipnode").addHandler(logging.NullHandler())
