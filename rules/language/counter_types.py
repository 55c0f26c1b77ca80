"""The types of the counters that compiled rules need, and the interface for reading counters. Pure."""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from rules.facts import Facts

Subject = Literal["payer", "payee", "alias", "payer_dfsp", "payee_dfsp", "pair", "original"]
"""The subject of the profile that a counter reads.

`payer`, `payee`, `alias`: the party of Facts.payer, .payee, .payee_alias. `payer_dfsp`, `payee_dfsp`: the participants.
`pair`: this payer with this payee. `original`: the original transaction of a refund (Facts.refund_of).
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
    "sent_value": "sum of the amounts that the subject sent in the window, in ten-thousandths",
    "received_count": "number of payments that the subject received in the window",
    "received_value": "sum of the amounts that the subject received in the window, in ten-thousandths",
    "distinct_payees": "number of different parties that the subject paid in the window",
    "distinct_payers": "number of different parties that paid the subject in the window",
    "age": "seconds since the subject's first counted payment; 0 if this payment is the first",
    "idle": "seconds since the subject's previous payment that counts; 0 if there is none",
    "paid_before": "True if an earlier payment of the pair is counted, in any currency",
    "moved": "True if the identifier's DFSP changed in the window",
    "found": "True if the original transaction was committed in this hub",
    "parties_swapped": "True if this payment's payee and payer are the payer and the payee of the original",
    "within_original": "True if the sum of all refunds, including this one, is at most the original's amount",
    "since_original": "seconds since the original was committed",
}
"""Every measure. The counters for numbers, values and distinct parties include the judged payment, if the subject's
profile will count the payment in the same direction.

`payer.sent_*`, `payee.received_*`, `alias.received_*`, `pair.sent_*`, `payer_dfsp.sent_*` and `payee_dfsp.received_*`
include the payment. `payer.received_*` and `payee.sent_*` do not include the payment. A counter counts only payments in
the judged payment's own currency, so the hub never adds amounts of two currencies. These counters do not count refunds,
and a refund does not lower these counters.
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
"""The measures for which a live rule at the transfer can set a limit.

These measures must be exact, so the hub locks their rows.
"""

MOST_EVENTS = 64
"""The number of events that a profile keeps separately for one direction and currency.

An exact limit cannot need more than this number of events.
"""
SHORTEST_WINDOW_S = 60
LONGEST_WINDOW_S = 31 * 86400


class Need(msgspec.Struct, frozen=True, order=True):
    """One counter that a rule set reads."""

    subject: Subject
    measure: Measure
    window_s: int = 0
    """The length in seconds of the sliding window that ends now. The length is 0 for measures without a window."""
    currency: str = ""
    """The currency of the counted payments. If empty, the counter includes payments in every currency."""
    exact: bool = False
    """Whether the counter must be exact under a lock, because a live rule at the transfer refuses payments by this
    counter."""
    events: int = 0
    """For an exact counter, the profile must separately keep this number of the latest events in one direction and
    currency.
    """


class Counters(Protocol):
    """The interface of counters. Compiled and interpreted rules read counters only by the method `get`."""

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns the measure at the time `facts.now`. Returns None if the measure is not known, for example if there
        is no party key.

        The result must stay the same during one evaluation. All evaluations of one compiled rule set pass the same
        `Need` objects. So an implementation can recognise a `Need` by the identity or the hash of the object.
        """
        ...


class NoCounters:
    """Counters that never have a value, for the gate at the lookup and for rule sets that do not read counters."""

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns None, so that the hub reports the rule as not checked."""
        return None
