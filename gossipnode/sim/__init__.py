"""Whole clusters in memory, under virtual time. Public: users may test their own programs with it."""
