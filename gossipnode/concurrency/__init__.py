"""Trio helpers that know nothing of gossipnode: a waker, a change event, the one error of a group."""
