"""The error for a requested change that the hub does not make."""


class NotChanged(Exception):
    """The error has the reason as a text for people. Nothing has changed."""
