"""The error for an id that belongs to different content."""


class Conflict(Exception):
    """The error for an id that belongs to different content."""
