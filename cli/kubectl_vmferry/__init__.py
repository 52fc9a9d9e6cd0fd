"""The kubectl plugin: `kubectl vmferry`."""
