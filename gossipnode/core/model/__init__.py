"""What is replicated: records of properties, their versions and tag values, and the errors of the core.

Begin with `property.py`, which says what a record is, and `version.py`, which says which of two records wins.
"""
