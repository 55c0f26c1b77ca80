"""The exceptions that the ledger's SQL functions raise."""

from hub.group_commit import LostRace as LostRace
