"""A real Prometheus in the lab."""
