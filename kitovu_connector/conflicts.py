"""The error for an id that is already stored with different content."""


class Conflict(Exception):
    """The error for an id that is already stored with different content."""
