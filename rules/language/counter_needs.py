"""The counters that a compiled rule set needs, and the one interface by which rules read them. Pure."""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from rules.facts import Facts

Subject = Literal["payer", "payee", "alias", "payer_dfsp", "payee_dfsp", "pair", "original"]
"""The profile that is read.

`payer`, `payee`, `alias`: the party of Facts.payer, .payee, .payee_alias. `payer_dfsp`, `payee_dfsp`: the participants.
`pair`: this payer with this payee. `original`: the transaction Facts.refund_of that a refund gives back.
"""

Measure = Literal[
    "sent_count",
    "sent_value",
    "received_count",
    "received_value",
    "distinct_payees",
    "distinct_payers",
    "age",
    "idle",
    "paid_before",
    "moved",
    "found",
    "parties_swapped",
    "within_original",
    "since_original",
]
MEASURES: Mapping[str, str] = {
    "sent_count": "number of payments that the subject sent in the window",
    "sent_value": "sum of their amounts, in ten-thousandths",
    "received_count": "number of payments that the subject received in the window",
    "received_value": "sum of their amounts, in ten-thousandths",
    "distinct_payees": "number of different parties that the subject paid in the window",
    "distinct_payers": "number of different parties that paid the subject in the window",
    "age": "seconds since the subject's first counted payment; 0 if this payment is the first",
    "idle": "seconds since the subject's latest counted payment before this one; 0 if there is none",
    "paid_before": "True if an earlier payment of the pair is counted, in any currency",
    "moved": "True if the identifier's DFSP changed in the window",
    "found": "True if the original transaction was committed in this hub",
    "parties_swapped": "True if the original's payer is this payee and its payee is this payer",
    "within_original": "True if all refunds of the original with this one are at most its amount, in its currency",
    "since_original": "seconds since the original was committed",
}
"""Every measure. Counts, values and distinct parties include the payment that is judged wherever it will be counted.

`payer.sent_*`, `payee.received_*`, `alias.received_*`, `pair.sent_*`, `payer_dfsp.sent_*` and `payee_dfsp.received_*`
include the payment. `payer.received_*` and `payee.sent_*` do not. A counter counts in the payment's own currency
(amounts of two currencies are never added). Refunds are not counted in these; a refund does not lower them either.
"""

WINDOWED = frozenset(
    {"sent_count", "sent_value", "received_count", "received_value", "distinct_payees", "distinct_payers", "moved"}
)
LIMITS = frozenset(
    {
        "sent_count",
        "sent_value",
        "received_count",
        "received_value",
        "distinct_payees",
        "distinct_payers",
        "within_original",
    }
)
"""The measures that a live refusing rule at the transfer limits. These must be exact, so their rows are locked."""

MOST_EVENTS = 64
"""How many events of one direction and currency a profile's ring holds. An exact limit cannot need more."""
SHORTEST_WINDOW_S = 60
LONGEST_WINDOW_S = 31 * 86400


class Need(msgspec.Struct, frozen=True, order=True):
    """One counter that a rule set reads."""

    subject: Subject
    measure: Measure
    window_s: int = 0
    """The length of the sliding window that ends now. 0 for measures without a window."""
    currency: str = ""
    """The only currency in whose payments the counter is read. Empty: it is read in payments of every currency."""
    exact: bool = False
    """Must the answer be exact under a lock, because a live rule at the transfer refuses by it?"""
    events: int = 0
    """If exact, how many of the newest events in its direction and currency the profile must still hold one by one."""


class Counters(Protocol):
    """Answers what rules ask of profiles. Compiled and interpreted rules both read counters by this method only."""

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns the measure at `facts.now`, or None if it is not known, for example without a party key.

        The answer must not change during one evaluation. A need is the same object for each evaluation of one compiled
        rule set, so that an implementation may use its identity or its hash.
        """
        ...


class NoCounters:
    """Counters where there are none: at the lookup, and for rule sets that need none."""

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns None, so that a check is reported as skipped."""
        return None
