"""What is shown of an object: pure functions of it and of the time."""
