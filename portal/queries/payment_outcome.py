"""The outcome of a payment or an attempt, in words and numbers. A `Verdict` has the outcome, its cause, the time of
each step, and the customers.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.outbox.models import Delivery
from ledger.held_transfers.models import HeldTransfer
from ledger.models import Transfer
from portal.amounts_and_durations import age, money
from portal.queries import limits_then, transfer_prepare_checks
from portal.queries.limits_then import Debtor
from portal.queries.transfer_history import Lookup, Story
from portal.words import states
from portal.words.errors import words_of
from quotes.models import Quote, TransactionRequest


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a payment: the time at which the step ended, and the step's duration."""

    text: str
    at: datetime
    seconds: float

    @property
    def took(self) -> str:
        return f"{self.seconds * 1000:.0f} ms" if self.seconds < 1 else age(self.seconds)


@dataclass(frozen=True, slots=True)
class Customer:
    is_payer: bool
    name: str
    id_type: str
    identifier: str
    dfsp: str


@dataclass(slots=True)
class Verdict:
    tone: str
    title: str
    sentences: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    customers: Sequence[Customer] = ()
    note: str = ""


_ENDS = {
    "REJECTED_BY_PAYEE": gettext_lazy("Not paid: %(payee)s rejected the payment."),
    "EXPIRED": gettext_lazy("Not paid: %(payee)s did not answer before the expiration."),
    "EXPIRED_ON_ARRIVAL": gettext_lazy("Not paid: the transfer had expired when it reached the hub."),
    "NDC": gettext_lazy("Not paid: the net debit cap of %(payer)s was too low."),
    "LIQUIDITY": gettext_lazy("Not paid: the cover of %(payer)s was too low."),
    "REFUSED_BY_RULE": gettext_lazy("Not paid: a rule of the scheme refused the payment."),
    "REFUSED_WHILE_HELD": gettext_lazy("Not paid: the held payment was refused."),
    "FULFILMENT_DOES_NOT_MATCH": gettext_lazy("Not paid: the fulfilment of %(payee)s was wrong."),
    "ENDS_WITH_ITS_BULK": gettext_lazy("Not paid: the bulk of this payment ended."),
}
_REFUSED = gettext_lazy("Not paid: the hub refused the payment.")
_BY_LIMIT = frozenset({"NDC", "LIQUIDITY"})
MaySee = Callable[[int | None], bool]


def of_transfer(transfer: Transfer, story: Story, *, hold: HeldTransfer | None, may_see: MaySee) -> Verdict:
    """Returns the verdict about a transfer. `may_see` returns whether the visitor has the right to see the data of a
    participant."""
    names = {"payer": transfer.payer.name, "payee": transfer.payee_name}
    amount = f"{money(transfer.amount, transfer.currency)} {transfer.currency}"
    if transfer.state == "COMMITTED":
        found = Verdict("good", _("Paid: %(payer)s paid %(amount)s to %(payee)s.") % {**names, "amount": amount})
    elif transfer.state == "RESERVED":
        found = _in_progress(transfer, names, hold)
    elif transfer.reason in _BY_LIMIT:
        found = _refused_by_limit(transfer, names, amount, may_see)
    else:
        found = Verdict("bad", _cause(transfer) % names)
        found.sentences += _causes(transfer)
    found.steps = list(_steps(transfer, story))
    if transfer.completed_at is not None:
        took = Step("", transfer.completed_at, (transfer.completed_at - transfer.received_at).total_seconds()).took
        found.sentences.append(_("The hub received the transfer and ended it %(took)s later.") % {"took": took})
    if transfer.state == "COMMITTED":
        found.sentences += [
            _("The payment is part of settlement %(number)s, which is in the state %(state)s.")
            % {"number": each.pk, "state": states.word_of(each.state)}
            for each in story.settlements
        ]
    _add_people(found, story.quote)
    return found


def _in_progress(transfer: Transfer, names: Mapping[str, str], hold: HeldTransfer | None) -> Verdict:
    if hold is not None and hold.state == "HELD":
        title = _("Held: a rule of the scheme holds the payment. %(payee)s has not received it.")
        return Verdict("wait", title % names)
    title = _("In progress: the money of %(payer)s is reserved, and %(payee)s has not answered yet.")
    return Verdict("wait", title % names)


def _refused_by_limit(transfer: Transfer, names: Mapping[str, str], amount: str, may_see: MaySee) -> Verdict:
    """Returns the verdict about a transfer that exceeded a limit of its debtor. A visitor without the right to see the
    debtor's data does not learn the figures. Only the payer DFSP and people of the hub learn which FXP is the
    debtor."""
    debtor = limits_then.debtor_of(transfer)
    is_told = debtor.participant_id == transfer.payer_id or may_see(transfer.payer_id)
    found = Verdict("bad", _cause(transfer) % {**names, "payer": debtor.name} if is_told else str(_REFUSED))
    found.sentences += _causes(transfer)
    if may_see(debtor.participant_id):
        found.sentences += _figures(transfer, debtor, amount)
    return found


def _cause(transfer: Transfer) -> str:
    return str(_ENDS.get(transfer.reason or "", _REFUSED))


def _causes(transfer: Transfer) -> Iterator[str]:
    """Yields the error, and the check that failed."""
    code = transfer.error_code or ""
    error = f"{code} {words_of(code, transfer.error_description or '')}".strip()
    yield _("Error: %(error)s") % {"error": error}
    checks = transfer_prepare_checks.to_prepare(transfer, was_reserved=False)
    check = next((found for found in checks if found.rule == transfer.reason), None)
    if check is not None and transfer.reason not in _ENDS:
        yield _("This check failed: %(check)s.") % {"check": check.text}


def _figures(transfer: Transfer, debtor: Debtor, amount: str) -> Iterator[str]:
    then = limits_then.at_refusal(transfer, debtor)
    if then is None:
        return

    def shown(value: int) -> str:
        return f"{money(value, transfer.currency)} {transfer.currency}"

    is_cap = transfer.reason == "NDC"
    limit = then.cap if is_cap else then.cover
    if limit is None:
        return
    text = (
        _(
            "According to the ledger, the net debit cap of %(payer)s was %(limit)s at that time. %(used)s of this cap "
            "was in use:"
        )
        if is_cap
        else _(
            "According to the ledger, the cover of %(payer)s was %(limit)s at that time. %(used)s of this "
            "cover was in use:"
        )
    )
    more = _("%(posted)s posted and %(reserved)s reserved. %(free)s was free. This payment needed %(amount)s.")
    yield f"{text} {more}" % {
        "payer": debtor.name,
        "limit": shown(limit),
        "used": shown(then.used),
        "posted": shown(then.posted),
        "reserved": shown(then.reserved),
        "free": shown(then.free(limit)),
        "amount": amount,
    }


def _steps(transfer: Transfer, story: Story) -> Iterator[Step]:
    yield from steps_before(story.quote, story.lookup)
    payer, payee = transfer.payer.name, transfer.payee_name
    sent = _first(story.deliveries, "POST", transfer.payee_id, transfer.transfer_id)
    if sent is not None:
        yield _step(_("%(payee)s received the transfer") % {"payee": payee}, sent.created_at, sent.delivered_at)
    if transfer.completed_at is not None and (
        transfer.state == "COMMITTED" or transfer.reason in ("REJECTED_BY_PAYEE", "FULFILMENT_DOES_NOT_MATCH")
    ):
        begin = sent.created_at if sent is not None else transfer.received_at
        yield _step(_("%(payee)s answered the transfer") % {"payee": payee}, begin, transfer.completed_at)
    told = _first(story.deliveries, "PUT", transfer.payer_id, transfer.transfer_id)
    if told is not None:
        yield _step(_("%(payer)s was notified of the outcome") % {"payer": payer}, told.created_at, told.delivered_at)


def steps_before(quote: Quote | None, lookup: Lookup | None) -> Iterator[Step]:
    """Yields the steps of the lookup and of the quote."""
    if lookup is not None and lookup.request is not None:
        asked = lookup.request.destination.name
        yield _step(
            _("%(asked)s answered the lookup") % {"asked": asked}, lookup.request.created_at, lookup.answer.created_at
        )
    if quote is None or quote.answered_at is None or quote.is_refused_by_rules:
        return
    if quote.state != "EXPIRED":
        text = _("%(payee)s answered the quote") % {"payee": quote.payee.name}
        yield _step(text, quote.created_at, quote.answered_at)


def _step(text: str, begin: datetime, end: datetime) -> Step:
    return Step(text, end, max(0.0, (end - begin).total_seconds()))


def _first(deliveries: Sequence[Delivery], method: str, participant_id: int | None, subject: str) -> Delivery | None:
    found = [
        each
        for each in deliveries
        if (each.method, each.destination_id, each.subject) == (method, participant_id, subject)
    ]
    return min(found, key=lambda each: each.delivered_at, default=None)


# --- attempts ---------------------------------------------------------------------------------------------------------


def of_quote(quote: Quote, lookup: Lookup | None) -> Verdict:
    """Returns the verdict about a quote without a transfer."""
    names = {"payer": quote.payer.name, "payee": quote.payee.name}
    match quote.state:
        case Quote.State.REJECTED:
            title = _("Not paid: the quote was rejected.")
            if quote.is_refused_by_rules:
                title = _("Not paid: the scheme's rules refused the quote. %(payee)s did not receive it.")
            found = Verdict("bad", title % names)
            found.sentences += [_("Error: %(error)s") % {"error": error} for error in _errors(quote.response)]
        case Quote.State.EXPIRED:
            found = Verdict("bad", _("Not paid: %(payee)s did not answer the quote in time.") % names)
        case Quote.State.ACCEPTED:
            title = _("Not paid: %(payee)s returned its terms, but %(payer)s sent no transfer.")
            found = Verdict("wait", title % names)
        case _:
            found = Verdict("wait", _("In progress: %(payee)s has not answered the quote yet.") % names)
    found.steps = list(steps_before(quote, lookup))
    _add_people(found, quote)
    return found


def of_request(request: TransactionRequest) -> Verdict:
    """Returns the verdict about a request to pay."""
    names = {"payer": request.payer.name, "payee": request.payee.name}
    titles = {
        TransactionRequest.State.ACCEPTED: ("good", _("%(payer)s accepted the request to pay.")),
        TransactionRequest.State.REJECTED: ("bad", _("%(payer)s rejected the request to pay.")),
        TransactionRequest.State.FAILED: ("bad", _("The request to pay failed, or %(payer)s did not answer in time.")),
    }
    tone, title = titles.get(
        TransactionRequest.State(request.state), ("wait", _("In progress: %(payer)s has not decided yet."))
    )
    found = Verdict(tone, title % names)
    if request.answered_at is not None and request.response:
        found.steps = [
            _step(_("%(payer)s answered the request to pay") % names, request.created_at, request.answered_at)
        ]
    _add_people(found, request)
    return found


def _errors(response: Any) -> Iterator[str]:
    body = _json(response)
    plain, iso = body.get("errorInformation"), body.get("TxInfAndSts")
    if isinstance(plain, dict):
        yield _error(plain.get("errorCode"), plain.get("errorDescription"))
    elif isinstance(iso, dict):
        reason = _at(iso, "StsRsnInf", "Rsn", "Prtry") or _at(iso, "StsRsnInf", "Rsn", "Cd")
        yield _error(reason, _at(iso, "StsRsnInf", "AddtlInf"))


def _error(code: Any, description: Any) -> str:
    known = code if isinstance(code, str) else ""
    return f"{known} {words_of(known, description if isinstance(description, str) else '')}".strip()


# --- customers --------------------------------------------------------------------------------------------------------


def _add_people(found: Verdict, agreement: Quote | TransactionRequest | None) -> None:
    if agreement is None:
        return
    body = _json(agreement.request)
    dfsps = {"payer": agreement.payer.name, "payee": agreement.payee.name}
    customers = [_customer(body, side, dfsp) for side, dfsp in dfsps.items()]
    found.customers = [customer for customer in customers if customer is not None]
    note = body.get("note")
    found.note = note if isinstance(note, str) else ""


def _customer(body: Mapping[str, Any], side: str, dfsp: str) -> Customer | None:
    """Reads a customer from a message in the plain form or in ISO 20022. A request to pay names its payer without
    `partyIdInfo`."""
    is_payer = side == "payer"
    party = body.get(side)
    if isinstance(party, dict):
        info = party.get("partyIdInfo", party)
        names = [_at(party, "personalInfo", "complexName", part) for part in ("firstName", "middleName", "lastName")]
        name = " ".join(filter(None, names)) or party.get("name") or ""
        kind, identifier = _at(info, "partyIdType"), _at(info, "partyIdentifier")
    else:
        iso = _at(body, "CdtTrfTxInf", "Dbtr" if is_payer else "Cdtr")
        owner = _at(iso, "Id", "PrvtId", "Othr") or _at(iso, "Id", "OrgId", "Othr")
        name = " ".join(filter(None, str(_at(iso, "Nm") or "").split(";")))
        kind, identifier = _at(owner, "SchmeNm", "Prtry"), _at(owner, "Id")
    if not isinstance(identifier, str):
        return None
    return Customer(is_payer, str(name), str(kind or ""), identifier, dfsp)


def _json(message: Any) -> dict[str, Any]:
    """Returns a stored message, or an empty object if the message has been erased or has another form."""
    try:
        found = json.loads(bytes(message or b""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
