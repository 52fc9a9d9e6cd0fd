"""What the lab says when it can't do what it is asked to."""


class LabError(Exception):
    """Something that the user of the lab must know of; its text is the whole message."""
