"""The agent's two roles: what it does for a migration that leaves its node, and for one that comes."""
