"""Finds the facts that the hub kept with a transfer's quote, for the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.commands_and_outcomes import Prepare
from rules.facts import Facts


@dataclass(frozen=True, slots=True)
class QuotedFacts:
    """The facts of a quote, and the id of its transaction."""

    facts: Facts
    transaction_id: str | None


def of(prepares: Sequence[Prepare]) -> Mapping[bytes, QuotedFacts]:
    """Returns the facts of the quotes of these prepares, by the digest of the prepare. None for an unknown quote."""
    return {}
