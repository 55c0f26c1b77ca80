"""The error for a requested change that the hub does not make."""


class NotChanged(Exception):
    """The error's text states, in words for people, why the hub refuses the change. Nothing has changed."""
