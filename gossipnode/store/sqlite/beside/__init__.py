"""What is kept beside records, as other rooms read it: how each came, and which requests it includes."""
