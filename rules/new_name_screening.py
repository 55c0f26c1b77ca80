"""Screens the name of a party when the party's DFSP sends this name for the first time."""

from fspiop.bodies.common import Party
from hub import sql_execution
from rules.lists import screening
from rules.rulesets import active_rules


def screen(party: Party, dfsp: str) -> None:
    """If a name is new to the hub, compares the name with the listed names, outside any database transaction.

    Does nothing if the hub already knows the name, or if the scheme has never activated rules. So only the first
    payment with a new name waits for the comparison.
    """
    if not active_rules.was_ever_active():
        return
    found = screening.named(party, dfsp)
    if found is not None:
        screening.see([found])
        sql_execution.give_back()
