"""Pure functions of (policies, what is observed, the time); no I/O."""
