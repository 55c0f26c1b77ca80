"""Applies the scheme's rules to the transfers and conversions of a group, with the functions of `rules.transfer_gate`.

If no rules are active, this module runs no SQL statement. The function `of` reads the database before the group locks
any row. The function `open_gate` reads the database after the group has locked transfers and conversions, but before
the group locks accounts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from hub.sql_execution import execute
from ledger import packet_parties, quoted_facts
from ledger.commands_and_outcomes import Prepare
from ledger.fx.commands_and_outcomes import FxPrepare
from ledger.fx.snapshot import Side
from rules import originals as originals_of_refunds
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.profiles.counters import Original
from rules.rulesets import active_rules
from rules.rulesets.active_rules import GATES, ActiveRules
from rules.transfer_gate import RulesAtTransfers, TransferGate, TransferToJudge, counted_too
from rules.transfer_gate import open_gate as open_with


@dataclass(frozen=True, slots=True)
class AtGate:
    """Those transfers of one group that rules can judge. The object also has the facts that the hub read before the hub
    locked any row."""

    rules: RulesAtTransfers | None
    transfers: Sequence[TransferToJudge]
    conversions: Sequence[FxPrepare]
    originals: Mapping[str, Original]
    kept: Mapping[bytes, Kept]  # the rules' verdicts about the quotes, by the digests of the prepares
    terms_expire_at: Mapping[bytes, datetime]  # the expirations of the quotes' terms
    of_conversions: Mapping[bytes, Facts]  # the facts of the conversions' quotes
    quote_ids: Mapping[bytes, str]  # the ids of the prepares' quotes, by the digests of the prepares


def of(prepares: Sequence[Prepare], fx_prepares: Sequence[FxPrepare]) -> AtGate | None:
    """Returns the group's new transfers and conversions for the rules. Returns None if no rules are active and the hub
    counts no payments.
    """
    if not prepares and not fx_prepares:
        return None
    active = active_rules.current()
    if active is None and not settings.RULES_COUNT:
        return None
    rules = _known(active) if active else None
    quoted = quoted_facts.of(prepares) if prepares else {}
    in_packets = {
        each.digest: packet_parties.read(each.ilp_packet, payer_dfsp=each.payer, payee_dfsp=each.payee)
        for each in prepares
        if each.digest not in quoted
    }
    if rules is not None:
        quoted = {**quoted, **quoted_facts.refused(_named_quotes(prepares, in_packets))}
    transfers = []
    for prepare in prepares:
        found = quoted.get(prepare.digest)
        named = in_packets.get(prepare.digest, packet_parties.NOBODY)
        transfers.append(
            TransferToJudge(
                digest=prepare.digest,
                transfer_id=prepare.transfer_id,
                payer_dfsp=prepare.payer,
                payee_dfsp=prepare.payee,
                currency=prepare.currency,
                amount=prepare.amount,
                expires_at=prepare.expires_at,
                quoted=found.facts if found else None,
                judged_by=found.kept.version if found else None,
                transaction_id=found.transaction_id if found else None,
                bulk=prepare.bulk_id is not None,
                payer=named.payer,
                payee=named.payee,
                payee_alias=named.payee_alias,
                payer_alias=named.payer_alias,
            )
        )
    kept = {digest: found.kept for digest, found in quoted.items()}
    refunds = originals_of_refunds.of(
        (each.quoted for each in transfers if each.quoted is not None), rules.compiled.needs if rules else ()
    )
    expirations = {digest: each.terms_expire_at for digest, each in quoted.items() if each.terms_expire_at is not None}
    conversions = fx_prepares if rules else ()
    of_conversions = quoted_facts.of_conversions(conversions)
    quote_ids = {digest: each.quote_id for digest, each in quoted.items() if each.quote_id is not None}
    return AtGate(rules, transfers, conversions, refunds, kept, expirations, of_conversions, quote_ids)


def _named_quotes(
    prepares: Sequence[Prepare], in_packets: Mapping[bytes, packet_parties.PacketParties]
) -> dict[bytes, tuple[str, str]]:
    named = ((each, in_packets[each.digest].quote_id) for each in prepares if each.digest in in_packets)
    return {each.digest: (each.payer, quote_id) for each, quote_id in named if quote_id is not None}


def open_gate(at_gate: AtGate, ending: Sequence[str], determining: Mapping[str, object]) -> TransferGate:
    """Locks the rows that the rules need, and returns the object that applies the rules.

    `determining` has the transfers that the group has read.
    """
    quoted = at_gate.of_conversions
    conversions = [_conversion(each, determining, quoted.get(each.digest)) for each in at_gate.conversions]
    return open_with([*at_gate.transfers, *conversions], ending, rules=at_gate.rules, originals=at_gate.originals)


def _conversion(prepare: FxPrepare, determining: Mapping[str, object], quoted: Facts | None) -> TransferToJudge:
    side = Side.PAYEE if prepare.determining_transfer_id in determining else Side.PAYER
    currency, amount = (
        (prepare.source_currency, prepare.source_amount)
        if side is Side.PAYER
        else (prepare.target_currency, prepare.target_amount)
    )
    payer, payee = (prepare.initiator, prepare.fxp) if side is Side.PAYER else (prepare.fxp, prepare.initiator)
    return TransferToJudge(
        digest=prepare.digest,
        transfer_id=prepare.commit_request_id,
        payer_dfsp=payer,
        payee_dfsp=payee,
        currency=currency,
        amount=amount,
        expires_at=prepare.expires_at,
        quoted=quoted,
        fx=True,
    )


_rules: tuple[ActiveRules | None, RulesAtTransfers | None] = (None, None)


def _known(active: ActiveRules) -> RulesAtTransfers:
    global _rules
    known, rules = _rules
    counts = active.version is not None or settings.RULES_COUNT
    if known is not active or rules is None or rules.counts != counts:
        rules = RulesAtTransfers(
            version=active.version,
            counts=counts,
            compiled=active.compiled("transfer"),
            without_quote=active.for_transfers_without_quote,
            judged_again=active.for_transfers_judged_again,
            variances=active.variances,
            counted_too=counted_too(active.compiled(gate) for gate in GATES),
        )
        _rules = (active, rules)
    return rules


_PAID = """
    SELECT p.payer, p.payee FROM unnest(%s::bigint[], %s::bigint[]) AS p (payer, payee)
    CROSS JOIN LATERAL (SELECT FROM rules_profiles_countedtransfer c
                        WHERE c.payer_key = p.payer AND c.payee_key = p.payee AND NOT c.ended AND NOT c.is_refund
                          AND (SELECT t.state FROM ledger_transfer t WHERE t.transfer_id = c.transfer_id) = 'COMMITTED'
                        LIMIT 1) paid
"""


def paid_before(pairs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Returns the pairs (payer, payee) with a committed payment that is not a refund."""
    ordered = sorted(pairs)
    columns = [[payer for payer, _ in ordered], [payee for _, payee in ordered]]
    return {(payer, payee) for payer, payee in execute(_PAID, columns)}


_ORIGINALS = """
    SELECT o.transaction_id, t.currency, t.amount, c.payer_key, c.payee_key, t.completed_at
    FROM unnest(%s::text[]) AS o (transaction_id)
    LEFT JOIN rules_profiles_countedtransfer named ON named.transaction_id = o.transaction_id
    JOIN ledger_transfer t ON t.transfer_id = coalesce(named.transfer_id, o.transaction_id)
    LEFT JOIN rules_profiles_countedtransfer c ON c.transfer_id = t.transfer_id
    WHERE t.state = 'COMMITTED'
"""


def originals(transaction_ids: Sequence[str]) -> dict[str, Original]:
    """For each of these transaction ids, returns the payment if the payment's transfer is committed. No lock is needed,
    because a committed transfer never changes."""
    return {row[0]: Original(*row[1:]) for row in execute(_ORIGINALS, [list(transaction_ids)])}
