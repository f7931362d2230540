"""What the verbs do: one module for each thing that a scenario can act on, and one table of all."""
