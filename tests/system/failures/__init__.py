"""Nodes that are killed, stopped or hung, and nodes whose disk is full or whose files are damaged."""
