"""The exceptions that the ledger's statements raise."""


class LostRace(Exception):
    """The database refused a decision that was based on older rows. Nothing was written. Decide again."""
