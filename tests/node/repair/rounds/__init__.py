"""Rounds: who starts them, who holds their messages, and what comes of them."""
