"""Named checks of a history: `always_` in each moment, `eventually_` within a time, `finally_` at the end."""
