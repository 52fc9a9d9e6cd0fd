"""What may be wrong with an installation: pure functions from what was read to findings."""
