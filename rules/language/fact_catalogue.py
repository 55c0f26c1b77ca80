"""Every fact that a rule can name, with the fact's type, the gates that know the fact, and the source of the fact's
value. Pure.

docs/rules.md also lists these facts. A test compares docs/rules.md with this catalogue.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from fspiop.money import CURRENCIES
from rules.facts import Gate
from rules.language.counter_types import WINDOWED, Measure, Subject
from rules.language.local_time import WEEKDAYS
from rules.language.rule_types import Operator

Unit = Literal["amount", "count", "duration", "percent", "text", "set", "truth", "time", "date"]
Missing = Literal["never", "details", "payer", "payee", "payee_dfsp", "quote", "counter"]
"""The data that a fact needs: the payment's details, a party's key, the payee DFSP, the terms of the quote, or the
value of the counter. Without this data, the fact is missing. Facts with "never" are never missing.
"""

_NUMBER: tuple[Operator, ...] = ("above", "at_least", "below", "at_most", "equals")
_TEXT: tuple[Operator, ...] = ("in", "not_in")
_OPTIONAL: tuple[Operator, ...] = ("present", "absent")

OPERATORS: Mapping[Unit, tuple[Operator, ...]] = {
    "amount": _NUMBER,
    "count": _NUMBER,
    "duration": _NUMBER,
    "percent": _NUMBER,
    "text": _TEXT,
    "set": ("has_any", "has_all", "has_none", "lacks_any"),
    "truth": ("true", "false"),
    "time": ("between", "not_between"),
    "date": _TEXT,
}
"""The operators of each unit. Optional facts also have `present` and `absent`."""

SCENARIOS = frozenset({"DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"})
ID_TYPES = frozenset(
    {
        "MSISDN",
        "EMAIL",
        "PERSONAL_ID",
        "BUSINESS",
        "DEVICE",
        "ACCOUNT_ID",
        "IBAN",
        "ALIAS",
        "CONSENT",
        "THIRD_PARTY_LINK",
    }
)
PARTY_TYPES = frozenset({"CONSUMER", "AGENT", "BUSINESS", "DEVICE"})
MARKERS = frozenset({"MULE_ACCOUNT", "SCAMMER_ACCOUNT", "APPLICATION_FRAUD", "OTHER", "CONFIRMED"})
"""The kinds of markers that a DFSP can file, and CONFIRMED for parties that two DFSPs or the hub have marked."""

_DFSP = r"[^\s\x00-\x1f]{1,32}"
_LIST = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}"
_ELEMENT = r"[A-Za-z][A-Za-z0-9]{0,63}(?:\.[A-Za-z][A-Za-z0-9]{0,63}){0,7}"


class FactSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The type of a fact, and the source of the fact's value."""

    name: str
    unit: Unit
    gates: frozenset[Gate]
    description: str
    field: str = ""
    """The field of Facts that contains the value. The name is empty for computed facts and counters."""
    missing: Missing = "never"
    optional: bool = False
    """Whether a message is allowed to omit the fact. If the message omits the fact, the hub knows that the fact is
    absent."""
    domain: frozenset[str] | None = None
    """A rule can compare the fact only with these texts."""
    pattern: str = ""
    """A rule can compare the fact only with texts of this form."""
    has_key: bool = False
    counters: tuple[tuple[Subject, Measure], ...] = ()
    """The counters from which the value is read or computed."""
    cost_ns: int = 60

    @property
    def has_window(self) -> bool:
        """Returns whether each condition on the fact must name a window of time."""
        return any(measure in WINDOWED for _, measure in self.counters)

    @property
    def is_of_conversions(self) -> bool:
        """Returns whether a conversion can have the fact. A conversion has no parties, and no details of a payment such
        as the use case. An FX quote has extensions of its own."""
        if self.counters:
            return all(subject in ("payer_dfsp", "payee_dfsp") for subject, _ in self.counters)
        return self.missing in ("never", "payee_dfsp") or self.has_key

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Returns the operators that are allowed in a condition on the fact."""
        return OPERATORS[self.unit] + (_OPTIONAL if self.optional else ())


ALL_GATES: frozenset[Gate] = frozenset({"lookup", "quote", "transfer"})
PAYMENT_GATES: frozenset[Gate] = frozenset({"quote", "transfer"})
TRANSFER_GATE: frozenset[Gate] = frozenset({"transfer"})

LOCAL_TIME_NS = 3_000
COUNTER_NS = 3_000
DISTINCT_NS = 10_000

_WHO: Mapping[Subject, str] = {
    "payer": "the payer",
    "payee": "the payee",
    "alias": "the payee's identifier with its sub-identifier",
    "payer_dfsp": "the payer DFSP",
    "payee_dfsp": "the payee DFSP",
    "pair": "from this payer to this payee",
}
_DIRECTIONS: Mapping[Subject, tuple[str, ...]] = {
    "payer": ("sent", "received"),
    "payee": ("sent", "received"),
    "alias": ("received",),
    "payer_dfsp": ("sent",),
    "payee_dfsp": ("received",),
    "pair": ("sent",),
}


def _counter(name: str, subject: Subject, measure: Measure, unit: Unit, description: str) -> FactSpec:
    cost = DISTINCT_NS if measure.startswith("distinct") else COUNTER_NS
    return FactSpec(
        name=name,
        unit=unit,
        gates=PAYMENT_GATES,
        missing="counter",
        counters=((subject, measure),),
        description=description,
        cost_ns=cost,
    )


def _velocity(subject: Subject) -> list[FactSpec]:
    found = []
    for direction in _DIRECTIONS[subject]:
        count: Measure = "sent_count" if direction == "sent" else "received_count"
        value: Measure = "sent_value" if direction == "sent" else "received_value"
        which = _WHO[subject] if subject == "pair" else f"that {_WHO[subject]} {direction}"
        found.append(_counter(f"{subject}.{count}", subject, count, "count", f"number of payments {which}"))
        found.append(_counter(f"{subject}.{value}", subject, value, "amount", f"value of the payments {which}"))
    return found


_SPECS: tuple[FactSpec, ...] = (
    FactSpec(
        name="amount",
        unit="amount",
        gates=PAYMENT_GATES,
        field="amount",
        description="the amount: at the quote the requested amount, at the transfer the amount that is reserved",
    ),
    FactSpec(
        name="currency",
        unit="text",
        gates=ALL_GATES,
        field="currency",
        optional=True,
        domain=frozenset(CURRENCIES),
        description="the currency; a lookup can lack a currency",
    ),
    FactSpec(
        name="payer.dfsp",
        unit="text",
        gates=ALL_GATES,
        field="payer_dfsp",
        pattern=_DFSP,
        description="the payer DFSP; at the lookup the requester",
    ),
    FactSpec(
        name="payee.dfsp",
        unit="text",
        gates=ALL_GATES,
        field="payee_dfsp",
        missing="payee_dfsp",
        pattern=_DFSP,
        description="the payee DFSP",
    ),
    FactSpec(
        name="payer.id_type",
        unit="text",
        gates=PAYMENT_GATES,
        field="payer_id_type",
        missing="details",
        domain=ID_TYPES,
        description="the type of the payer's identifier",
    ),
    FactSpec(
        name="payee.id_type",
        unit="text",
        gates=ALL_GATES,
        field="payee_id_type",
        missing="details",
        domain=ID_TYPES,
        description="the type of the payee's identifier",
    ),
    FactSpec(
        name="payer.type",
        unit="text",
        gates=PAYMENT_GATES,
        field="payer_type",
        missing="details",
        optional=True,
        domain=PARTY_TYPES,
        description="the type of the payer, such as CONSUMER",
    ),
    FactSpec(
        name="payer.kyc_tier",
        unit="text",
        gates=PAYMENT_GATES,
        field="kyc_tier",
        missing="details",
        optional=True,
        pattern=r".{1,128}",
        description="the payer's KYC tier, from the scheme's extension",
    ),
    FactSpec(
        name="scenario",
        unit="text",
        gates=PAYMENT_GATES,
        field="scenario",
        missing="details",
        domain=SCENARIOS,
        description="the use case (transactionType.scenario)",
    ),
    FactSpec(
        name="sub_scenario",
        unit="text",
        gates=PAYMENT_GATES,
        field="sub_scenario",
        missing="details",
        optional=True,
        pattern=r"[A-Z_]{1,32}",
        description="the scheme's sub-scenario (transactionType.subScenario)",
    ),
    FactSpec(
        name="initiator",
        unit="text",
        gates=PAYMENT_GATES,
        field="initiator",
        missing="details",
        domain=frozenset({"PAYER", "PAYEE"}),
        description="which party initiated the payment",
    ),
    FactSpec(
        name="initiator_type",
        unit="text",
        gates=PAYMENT_GATES,
        field="initiator_type",
        missing="details",
        domain=PARTY_TYPES,
        description="the type of the initiator, such as CONSUMER",
    ),
    FactSpec(
        name="merchant_code",
        unit="text",
        gates=PAYMENT_GATES,
        field="merchant_code",
        missing="details",
        optional=True,
        pattern=r"[0-9]{1,4}",
        description="the payee's merchant classification code",
    ),
    FactSpec(
        name="elements",
        unit="set",
        gates=PAYMENT_GATES,
        field="present",
        missing="details",
        pattern=_ELEMENT,
        description="the paths of the elements in POST /quotes, for example payee.personalInfo.dateOfBirth",
    ),
    FactSpec(
        name="extension",
        unit="text",
        gates=PAYMENT_GATES,
        missing="details",
        optional=True,
        has_key=True,
        pattern=r".{1,128}",
        description="the value of the extension with the given key",
    ),
    FactSpec(
        name="expires_in",
        unit="duration",
        gates=PAYMENT_GATES,
        field="expires_in_s",
        optional=True,
        description="the time until the message expires; a quote can lack an expiration",
    ),
    FactSpec(
        name="time_of_day",
        unit="time",
        gates=ALL_GATES,
        cost_ns=LOCAL_TIME_NS,
        description="the time of day in the scheme's time zone",
    ),
    FactSpec(
        name="weekday",
        unit="text",
        gates=ALL_GATES,
        domain=frozenset(WEEKDAYS),
        cost_ns=LOCAL_TIME_NS,
        description="the weekday in the scheme's time zone",
    ),
    FactSpec(
        name="date",
        unit="date",
        gates=ALL_GATES,
        cost_ns=LOCAL_TIME_NS,
        description="the date in the scheme's time zone, for example for holidays",
    ),
    FactSpec(
        name="bulk",
        unit="truth",
        gates=PAYMENT_GATES,
        field="bulk",
        description="is the payment an item of a bulk?",
    ),
    FactSpec(
        name="fx",
        unit="truth",
        gates=PAYMENT_GATES,
        field="fx",
        description="is this a conversion, that is, an FX quote or an FX transfer? The payment itself is not a "
        "conversion",
    ),
    FactSpec(
        name="quoted",
        unit="truth",
        gates=TRANSFER_GATE,
        field="quoted",
        description="did this hub see the quote of the transfer?",
    ),
    FactSpec(
        name="equals_quote",
        unit="truth",
        gates=TRANSFER_GATE,
        missing="quote",
        description="does the transfer have the amount and currency of the quote's terms?",
    ),
    FactSpec(
        name="payer.lists",
        unit="set",
        gates=PAYMENT_GATES,
        field="payer_lists",
        missing="payer",
        pattern=_LIST,
        description="the names of the lists that the payer is on",
    ),
    FactSpec(
        name="payee.lists",
        unit="set",
        gates=ALL_GATES,
        field="payee_lists",
        missing="payee",
        pattern=_LIST,
        description="the names of the lists that the payee is on",
    ),
    FactSpec(
        name="payer.markers",
        unit="set",
        gates=PAYMENT_GATES,
        field="payer_markers",
        missing="payer",
        domain=MARKERS,
        description="the kinds of fraud markers on the payer",
    ),
    FactSpec(
        name="payee.markers",
        unit="set",
        gates=ALL_GATES,
        field="payee_markers",
        missing="payee",
        domain=MARKERS,
        description="the kinds of fraud markers on the payee",
    ),
    *(
        each
        for subject in ("payer", "payee", "alias", "payer_dfsp", "payee_dfsp", "pair")
        for each in _velocity(subject)
    ),
    _counter("payer.distinct_payees", "payer", "distinct_payees", "count", "number of parties that the payer paid"),
    _counter("payee.distinct_payers", "payee", "distinct_payers", "count", "number of parties that paid the payee"),
    _counter("payer.age", "payer", "age", "duration", "time since the payer's first payment"),
    _counter("payee.age", "payee", "age", "duration", "time since the payee's first payment"),
    _counter("payer.idle", "payer", "idle", "duration", "time since the payer's previous payment"),
    _counter("payee.idle", "payee", "idle", "duration", "time since the payee's previous payment"),
    _counter(
        "payee.moved",
        "payee",
        "moved",
        "truth",
        "has the payee's identifier moved to another DFSP? Only payments with a quote show the payee's DFSP",
    ),
    _counter("pair.age", "pair", "age", "duration", "time since this payer first paid this payee"),
    _counter(
        "pair.paid_before",
        "pair",
        "paid_before",
        "truth",
        "has a payment of this payer to this payee been committed before?",
    ),
    FactSpec(
        name="payer.percent_of_average",
        unit="percent",
        gates=PAYMENT_GATES,
        missing="counter",
        counters=(("payer", "sent_count"), ("payer", "sent_value")),
        cost_ns=2 * COUNTER_NS,
        description="the amount in percent of the average of the payer's earlier payments; 0 if there are no earlier "
        "payments",
    ),
    FactSpec(
        name="payer.percent_passed_on",
        unit="percent",
        gates=PAYMENT_GATES,
        missing="counter",
        counters=(("payer", "sent_value"), ("payer", "received_value")),
        cost_ns=2 * COUNTER_NS,
        description="the amount that the payer sent, in percent of the amount that the payer received; 0 if the payer "
        "received nothing",
    ),
    _counter("refund.original_found", "original", "found", "truth", "was the original committed in this hub?"),
    _counter(
        "refund.parties_swapped",
        "original",
        "parties_swapped",
        "truth",
        "does the payee of the original pay the refund to the payer of the original?",
    ),
    _counter(
        "refund.within_original",
        "original",
        "within_original",
        "truth",
        "is the sum of all refunds at most the original's amount?",
    ),
    _counter(
        "refund.since_original", "original", "since_original", "duration", "time since the original was committed"
    ),
)

FACTS: Mapping[str, FactSpec] = {spec.name: spec for spec in _SPECS}


def percent_of_average(amount: int, count: int | None, value: int | None) -> int | None:
    """Returns the amount of this payment as a percentage of the average amount of the earlier payments. Returns None if
    a counter is missing."""
    if count is None or value is None:
        return None
    others = value - amount
    return amount * 100 * (count - 1) // others if count > 1 and others > 0 else 0


def percent_passed_on(sent: int | None, received: int | None) -> int | None:
    """Returns the sent value as a percentage of the received value. Returns None if a counter is missing."""
    if sent is None or received is None:
        return None
    return sent * 100 // received if received > 0 else 0
