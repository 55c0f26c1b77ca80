"""Finds the facts and verdicts that the hub stored with a transfer's quote. The scheme's rules use the facts that the
hub stored with a quote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from fspiop.ilp import packet_digest
from ledger.commands_and_outcomes import Prepare
from ledger.fx.commands_and_outcomes import FxPrepare
from quotes import kept_facts_and_verdicts
from quotes.kept_facts_and_verdicts import Claim, ConversionClaim
from rules import facts as facts_of_payments
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.language.refusal_codes import text_of
from rules.rulesets import sql_for_payments


@dataclass(frozen=True, slots=True)
class QuotedFacts:
    """The facts of a quote: the amount in the terms, the verdict of the rules, and the quote's ids."""

    facts: Facts
    kept: Kept
    transaction_id: str | None
    terms_expire_at: datetime | None = None
    quote_id: str | None = None


def of(prepares: Sequence[Prepare]) -> Mapping[bytes, QuotedFacts]:
    """Returns the facts of each prepare's quote. The keys are the digests of the prepares.

    Leaves out unknown quotes. A batch contains either the items of one bulk transfer, or no items of bulks. Runs one
    SQL statement for a batch without bulks, and at most two SQL statements for a bulk.
    """
    claims = [
        Claim(each.digest, each.source_id, each.payee, each.condition, packet_digest(each.ilp_packet))
        for each in prepares
    ]
    if not claims:
        return {}
    bulk_quote_id = prepares[0].bulk_quote_id
    found = kept_facts_and_verdicts.of_items(bulk_quote_id, claims) if bulk_quote_id is not None else {}
    rest = [claim for claim in claims if claim.key not in found]
    if rest:
        found |= kept_facts_and_verdicts.of_transfers(rest)
    return {
        key: QuotedFacts(
            replace(each.kept.facts, quoted_amount=each.amount, quoted_currency=each.currency),
            each.kept,
            each.transaction_id,
            each.expires_at,
            each.quote_id,
        )
        for key, each in found.items()
    }


def refused(quote_ids: Mapping[bytes, tuple[str, str]]) -> Mapping[bytes, QuotedFacts]:
    """Returns the facts of quotes that the rules refused. The keys are the digests of the prepares.

    A payee gives terms for a refused quote only if this quote was one payment of a bulk quote. For each prepare,
    `quote_ids` has two values: the payer DFSP, and the quote's id in the ILP packet. Runs one SQL statement.
    """
    if not quote_ids:
        return {}
    found = sql_for_payments.refused_quotes(sorted(set(quote_ids.values())))
    kept = {}
    for digest, named in quote_ids.items():
        if named in found:
            code, stored = found[named]
            facts = replace(facts_of_payments.from_bytes(stored), counters={})
            kept[digest] = QuotedFacts(facts, Kept(facts, 0, refusal=(code, text_of(code))), None)
    return kept


def of_conversions(prepares: Sequence[FxPrepare]) -> Mapping[bytes, Kept]:
    """Returns the facts of the quotes for these conversions, with the version of the rules that judged each quote. The
    keys are the digests of the prepares. Runs one SQL statement.

    Leaves out conversions whose quotes are unknown.
    """
    if not prepares:
        return {}
    claims = [
        ConversionClaim(each.digest, each.source_id, each.fxp, each.condition, each.commit_request_id)
        for each in prepares
    ]
    return kept_facts_and_verdicts.of_conversions(claims)
