"""What a version is given out as: `make release`."""
