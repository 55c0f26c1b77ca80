"""The reason why a change that a person requested is not made."""


class NotChanged(Exception):
    """The reason, as a text for people. Nothing has changed."""
