"""The language of scenarios: steps in plain text, what each of them does, and steps made from a seed."""
