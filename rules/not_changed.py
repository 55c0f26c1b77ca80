"""The error for a requested change that the hub does not make."""


class NotChanged(Exception):
    """The error has a text with the reason, for people. Nothing has changed."""
