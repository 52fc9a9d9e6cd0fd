"""Pure functions and values: what to set, what stalls, when to give up, how it ended; no I/O."""
