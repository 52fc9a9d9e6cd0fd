"""Guests that write memory at a given rate, and prove that none of it was lost."""
