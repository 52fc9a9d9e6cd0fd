"""The node agent: makes what is desired so, and reports what it sees."""
