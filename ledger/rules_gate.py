"""Applies the scheme's rules to the transfers and conversions of a group, with the functions of `rules.transfer_gate`.

If no rules are active, this module runs no SQL statement. The function `of` reads the database before the group locks
any row. The function `open_gate` reads the database after the group has locked transfers and conversions, but before
the group locks accounts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

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
    of_conversions: Mapping[bytes, Kept]  # the facts of the conversions' quotes
    now: datetime  # the time at which the hub read the active rules
    quote_ids: Mapping[bytes, str]  # the ids of the prepares' quotes, by the digests of the prepares


def of(prepares: Sequence[Prepare], fx_prepares: Sequence[FxPrepare]) -> AtGate | None:
    """Returns the group's new transfers and conversions for the rules. Returns None if no rules are active and the hub
    counts no payments.
    """
    if not prepares and not fx_prepares:
        return None
    active = active_rules.current_at()
    if active is None and not settings.RULES_COUNT:
        return None
    rules, now = (_known(active[0]), active[1]) if active is not None else (None, datetime.now(UTC))
    quoted = quoted_facts.of(prepares) if prepares else {}
    in_packets = {
        each.digest: packet_parties.read(each.ilp_packet, payer_dfsp=each.payer, payee_dfsp=each.payee)
        for each in prepares
        if each.digest not in quoted
    }
    if rules is not None:
        quoted = {**quoted, **quoted_facts.refused(_named_quotes(prepares, in_packets))}
    facts = [found.facts for found in quoted.values()]
    originals: Mapping[str, Original] = {}
    if rules is None or rules.counts:
        facts, originals = originals_of_refunds.of(facts)
    facts_of_quotes = dict(zip(quoted, facts, strict=True))
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
                quoted=facts_of_quotes.get(prepare.digest),
                judged_by=found.kept.version if found else None,
                transaction_id=found.transaction_id if found else named.transaction_id,
                bulk=prepare.bulk_id is not None,
                payer=named.payer,
                payee=named.payee,
                payee_alias=named.payee_alias,
                payer_alias=named.payer_alias,
            )
        )
    kept = {digest: found.kept for digest, found in quoted.items()}
    expirations = {digest: each.terms_expire_at for digest, each in quoted.items() if each.terms_expire_at is not None}
    conversions = fx_prepares if rules else ()
    of_conversions = quoted_facts.of_conversions(conversions)
    quote_ids = {digest: each.quote_id for digest, each in quoted.items() if each.quote_id is not None}
    return AtGate(rules, transfers, conversions, originals, kept, expirations, of_conversions, now, quote_ids)


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
    transfers = [*at_gate.transfers, *conversions]
    return open_with(transfers, ending, rules=at_gate.rules, originals=at_gate.originals, now=at_gate.now)


def _conversion(prepare: FxPrepare, determining: Mapping[str, object], kept: Kept | None) -> TransferToJudge:
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
        quoted=kept.facts if kept is not None else None,
        judged_by=kept.version if kept is not None else None,
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


# A refund names its original by the transfer id or by the transaction id. The payer DFSP chooses the transaction id,
# and can choose an id of another payment. So by a transaction id, the hub finds only a payment of the same two parties.
# This payment takes precedence over a transfer of other parties that has the id as its transfer id.
_ORIGINALS = """
    SELECT r.number, o.*
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[]) AS r (number, named, payer, payee)
    CROSS JOIN LATERAL (
        SELECT t.transfer_id, c.transaction_id, t.currency, t.amount, c.payer_key, c.payee_key, t.completed_at
        FROM (SELECT r.named, 'transfer'
              UNION ALL
              SELECT n.transfer_id, 'transaction' FROM rules_profiles_countedtransfer n
              WHERE n.transaction_id = r.named AND n.payer_key = r.payee AND n.payee_key = r.payer
             ) AS found (transfer_id, named_by)
        JOIN ledger_transfer t ON t.transfer_id = found.transfer_id
        LEFT JOIN rules_profiles_countedtransfer c ON c.transfer_id = t.transfer_id
        WHERE t.state = 'COMMITTED' AND t.completed_at <= coalesce(%s::timestamptz, 'infinity')
        ORDER BY CASE WHEN found.named_by = 'transaction' THEN 2
                      WHEN (c.payer_key, c.payee_key) <> (r.payee, r.payer) THEN 3
                      ELSE 1 END,
                 t.received_at, t.transfer_id
        LIMIT 1
    ) o
"""


def originals(refunds: Sequence[Facts], *, until: datetime | None = None) -> list[Original | None]:
    """For each of these refunds, returns the original payment if the original's transfer is committed. No lock is
    needed, because a committed transfer never changes. With `until`, considers only payments that were committed until
    this time."""
    columns: list[list[object]] = [
        list(range(len(refunds))),
        [each.refund_of for each in refunds],
        [each.payer for each in refunds],
        [each.payee for each in refunds],
    ]
    found = {number: Original(*columns) for number, *columns in execute(_ORIGINALS, [*columns, until])}
    return [found.get(number) for number in range(len(refunds))]
