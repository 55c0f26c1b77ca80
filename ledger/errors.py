"""The exceptions that the ledger's statements raise."""

from hub.group_commit import LostRace as LostRace
