"""The rules and quotes for a load with rules: 20 exact limits, and rules of every other kind. One rule raises
alerts."""

import hashlib
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from bench import messages, parties
from bench.messages import AMOUNT, CURRENCY
from bench.rules import EXACT_LIMITS, make_rule_set
from fspiop import ilp
from rules import kept_verdicts
from rules.facts import Facts
from rules.kept_verdicts import Kept

FEWEST = EXACT_LIMITS + 1
_WINDOWS = ("PT1H", "PT6H", "PT24H", "P7D")
_SUBJECTS = (("payer.sent_count", "4240"), ("payee.received_count", "5240"))
_ALERT = {
    "title": "Watched tier",
    "kind": "fraud",
    "gate": "transfer",
    "if": {"fact": "payer.kyc_tier", "is": "in", "value": [parties.WATCHED_TIER]},
    "then": {"action": "alert"},
}


def document(number: int, dfsps: Sequence[str]) -> dict[str, Any]:
    """Returns a rule set with this number of live rules. Each rule judges each transfer.

    Each limit locks the payer's profile and the payee's profile. Limits on received payments do not apply to payments
    to a biller.
    """
    chance = random.Random(1)  # noqa: S311  a measurement, no secret
    rules = [_limit(each, chance) for each in range(EXACT_LIMITS)] + [_ALERT]
    text = json.dumps(make_rule_set(EXACT_LIMITS + number - len(rules), chance)["rules"][EXACT_LIMITS:])
    for currency in ("TZS", "KES"):
        text = text.replace(f'"{currency}"', f'"{CURRENCY}"')
    for each in range(10):
        text = text.replace(f'"dfsp-{each}"', f'"{dfsps[each % len(dfsps)]}"')
    rules += json.loads(text)
    return {
        "language": 1,
        "name": "Measured",
        "time_zone": "Africa/Dar_es_Salaam",
        "rules": [{**rule, "id": f"rule-{each}", "title": f"Rule {each}"} for each, rule in enumerate(rules)],
    }


def _limit(number: int, chance: random.Random) -> dict[str, Any]:
    fact, code = _SUBJECTS[number % 2]
    when = {"currencies": [CURRENCY]} | ({"scenarios": ["TRANSFER"]} if number % 2 else {})
    window = _WINDOWS[number // 2 % len(_WINDOWS)]
    condition = {"fact": fact, "is": "above", "value": chance.randrange(50, 63), "window": window}
    return {
        "kind": "scheme",
        "gate": "transfer",
        "when": when,
        "if": condition,
        "then": {"action": "refuse", "code": code},
    }


_STORED = """
    COPY quotes_quote (quote_id, transaction_id, payer_id, payee_id, state, request, request_headers, request_digest,
                       response, response_headers, response_digest, expires_at, created_at, answered_at, condition,
                       packet_sha256, transfer_amount, transfer_currency, rule_facts) FROM STDIN
"""


def store_quotes(url: str, dfsps: Sequence[str], packets: int, *, biller: bool) -> None:
    """Stores a quote for each packet, as if the DFSPs had agreed on the terms of all transfers before the load."""
    now = datetime.now(UTC)
    pairs = [(payer, payee) for payer in dfsps for payee in dfsps if payer != payee]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        ids: dict[str, int] = dict(cursor.execute("SELECT name, id FROM participants_participant").fetchall())
        with cursor.copy(_STORED) as copy:
            for place, (payer, payee) in enumerate(pairs):
                for each, packet in enumerate(messages.pool(payer, payee, packets)):
                    number, quote_id = place * packets + each, parties.quote_id(payer, payee, each)
                    facts = facts_of_quote(number, payer, payee, now, biller=biller)
                    digest = hashlib.sha256(quote_id.encode()).digest()
                    parties_and_request = (ids[payer], ids[payee], "ACCEPTED", b"{}", "{}", digest)
                    response = (b"{}", "{}", digest, now + timedelta(hours=1), now, now)
                    terms = (packet.condition.decode(), ilp.packet_digest(packet.ilp_packet.decode()))
                    kept = (facts.amount, CURRENCY, kept_verdicts.to_bytes({quote_id: Kept(facts, 1)}))
                    copy.write_row((quote_id, quote_id, *parties_and_request, *response, *terms, *kept))
        cursor.execute("ANALYZE quotes_quote")


def facts_of_quote(
    number: int, payer: str, payee: str, now: datetime, *, biller: bool = False, amount: int = int(AMOUNT) * 10_000
) -> Facts:
    """Returns the facts that the hub stores with a quote. Any number can be the key of a party."""
    payee_key = parties.PARTIES + 1 + (0 if biller else number * 104_729 % parties.PARTIES)
    return Facts(
        gate="quote",
        now=now,
        payer_dfsp=payer,
        payee_dfsp=payee,
        currency=CURRENCY,
        amount=amount,
        payer=1 + parties.payer_of(number),
        payee=payee_key,
        payee_alias=payee_key,
        payer_id_type="MSISDN",
        payee_id_type="MSISDN",
        scenario=parties.scenario(biller=biller),
        initiator="PAYER",
        initiator_type="CONSUMER",
        payer_type="CONSUMER",
        kyc_tier=parties.WATCHED_TIER if parties.is_watched(number) else None,
        expires_in_s=600,
        present=frozenset({"note"}),
    )
