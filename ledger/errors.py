"""What the ledger's statements raise."""


class LostRace(Exception):
    """A guard in the database refused what was decided on older knowledge; nothing was written. Decide again."""
