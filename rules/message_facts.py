"""Reads the facts about payments from typed messages.

The typed messages are the same for plain JSON and for ISO 20022.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from msgspec import Struct

from fspiop.bodies.bulk_quotes import BulkQuotePost, IndividualQuote
from fspiop.bodies.common import ExtensionList, GeoCode, Money, Party, PartyIdInfo, TransactionType
from fspiop.bodies.fx_quotes import FxQuotePost
from fspiop.bodies.quotes import QuotePost
from fspiop.money import parse_amount
from fspiop.time import parse_datetime
from rules.facts import Facts, PartyKey
from rules.party_keys import key_of

_SECOND = timedelta(seconds=1)
_WHOLE = (Money, GeoCode, ExtensionList)
"""The JSON objects that a rule names as one element."""


def of_quote(body: QuotePost, *, payer_dfsp: str, payee_dfsp: str, now: datetime) -> Facts:
    """Returns the facts of POST /quotes."""
    lists = (body.payer.party_id_info.extension_list, body.payee.party_id_info.extension_list, body.extension_list)
    return _facts(
        body,
        (),
        extensions=_extensions(lists),
        payer=body.payer,
        payer_dfsp=payer_dfsp,
        payee_dfsp=payee_dfsp,
        expiration=body.expiration,
        now=now,
    )


def of_bulk_quote(body: BulkQuotePost, *, payer_dfsp: str, payee_dfsp: str, now: datetime) -> list[tuple[str, Facts]]:
    """For each payment in POST /bulkQuotes, returns the quote id and the facts.

    The facts of each payment also include the elements that POST /bulkQuotes has only once for all payments.
    """
    shared = (body.payer.party_id_info.extension_list, body.extension_list)
    outer = tuple(path for path in present_in(body) if not path.startswith("individualQuotes"))
    return [
        (
            quote.quote_id,
            _facts(
                quote,
                outer,
                extensions=_extensions((*shared, quote.payee.party_id_info.extension_list, quote.extension_list)),
                payer=body.payer,
                payer_dfsp=payer_dfsp,
                payee_dfsp=payee_dfsp,
                expiration=body.expiration,
                now=now,
                bulk=True,
            ),
        )
        for quote in body.individual_quotes
    ]


def _facts(
    quote: QuotePost | IndividualQuote,
    outer: tuple[str, ...],
    *,
    extensions: dict[str, str],
    payer: Party,
    payer_dfsp: str,
    payee_dfsp: str,
    expiration: str | None,
    now: datetime,
    bulk: bool = False,
) -> Facts:
    kind: TransactionType = quote.transaction_type
    payee_id = quote.payee.party_id_info
    return Facts(
        gate="quote",
        now=now,
        payer_dfsp=payer_dfsp,
        payee_dfsp=payee_dfsp,
        currency=quote.amount.currency,
        amount=parse_amount(quote.amount.amount),
        payer=_key(payer.party_id_info),
        payee=_key(payee_id),
        payee_alias=key_of(payee_id.party_id_type, payee_id.party_identifier, payee_id.party_sub_id_or_type),
        payer_id_type=payer.party_id_info.party_id_type,
        payee_id_type=payee_id.party_id_type,
        payer_alias=_alias(payer.party_id_info),
        scenario=kind.scenario,
        sub_scenario=kind.sub_scenario,
        initiator=kind.initiator,
        initiator_type=kind.initiator_type,
        # The message contains only the initiator's type.
        payer_type=kind.initiator_type if kind.initiator == "PAYER" else None,
        refund_of=kind.refund_info.original_transaction_id if kind.refund_info else None,
        merchant_code=quote.payee.merchant_classification_code,
        kyc_tier=extensions.get(settings.RULES_KYC_TIER_EXTENSION),
        expires_in_s=_seconds_until(expiration, now),
        present=frozenset(present_in(quote)) | frozenset(outer),
        extensions=extensions,
        bulk=bulk,
    )


def of_fx_quote(body: FxQuotePost, *, now: datetime) -> list[Facts]:
    """Returns the facts of POST /fxQuotes: for the source amount and for the target amount, as far as POST /fxQuotes
    contains these amounts. In these facts, the initiator pays the FXP. POST /fxQuotes contains no parties."""
    terms = body.conversion_terms
    known = [money for money in (terms.source_amount, terms.target_amount) if money.amount is not None]
    return [
        Facts(
            gate="quote",
            now=now,
            payer_dfsp=terms.initiating_fsp,
            payee_dfsp=terms.counter_party_fsp,
            currency=money.currency,
            amount=parse_amount(money.amount or "0"),
            expires_in_s=_seconds_until(terms.expiration, now),
            present=frozenset(present_in(body)),
            extensions=_extensions((terms.extension_list,)),
            fx=True,
        )
        for money in known or [terms.target_amount]
    ]


def of_lookup(
    id_type: str,
    identifier: str,
    sub_id: str | None,
    *,
    currency: str | None,
    payer_dfsp: str,
    payee_dfsp: str | None,
    now: datetime,
) -> Facts:
    """Returns the facts of GET /parties: the requester and the requested party."""
    payee = key_of(id_type, identifier)
    return Facts(
        gate="lookup",
        now=now,
        payer_dfsp=payer_dfsp,
        payee_dfsp=payee_dfsp,
        currency=currency,
        payee=payee,
        payee_alias=key_of(id_type, identifier, sub_id) if sub_id else payee,
        payee_id_type=id_type,
        quoted=False,
    )


def present_in(message: Struct) -> Iterator[str]:
    """Yields the path of each element of a message. The paths contain the API's names, such as
    payee.partyIdInfo.fspId."""
    return _paths(message, "")


def _paths(message: Struct, where: str) -> Iterator[str]:
    for name, sent_as in _names(type(message)):
        part = getattr(message, name)
        if part is None:
            continue
        yield f"{where}{sent_as}"
        if isinstance(part, Struct) and not isinstance(part, _WHOLE):
            yield from _paths(part, f"{where}{sent_as}.")


@cache
def _names(kind: type[Struct]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))


def _extensions(lists: Iterable[ExtensionList | None]) -> dict[str, str]:
    """Returns the values of the extensions by key. If a key occurs twice, the last value applies."""
    return {each.key: each.value for found in lists if found is not None for each in found.extension}


def _key(info: PartyIdInfo) -> PartyKey:
    return key_of(info.party_id_type, info.party_identifier)


def _alias(info: PartyIdInfo) -> PartyKey | None:
    sub_id = info.party_sub_id_or_type
    return key_of(info.party_id_type, info.party_identifier, sub_id) if sub_id else None


def _seconds_until(expiration: str | None, now: datetime) -> int | None:
    return None if expiration is None else (parse_datetime(expiration) - now) // _SECOND
