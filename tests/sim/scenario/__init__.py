"""The language of scenarios, and scenarios from seeds."""
