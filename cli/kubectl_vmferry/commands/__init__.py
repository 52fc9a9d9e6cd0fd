"""The commands of the plugin, one a file."""
