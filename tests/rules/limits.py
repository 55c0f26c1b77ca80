"""Rules that are active in a test, and payments whose parties are known: a transfer's id names its payer and payee."""

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone

from ledger.commands_and_outcomes import Prepare
from ledger.quoted_facts import QuotedFacts
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.language.checks_of_well_formed_rules import accept_text
from rules.party_keys import key_of
from rules.rulesets import active_rules, sql_for_payments
from rules.rulesets.models import Activation, RuleSetVersion
from tests.world import World, prepare


def limit(
    fact: str = "payer.sent_count",
    *,
    above: int | str,
    rule_id: str | None = None,
    window: str = "PT24H",
    code: str = "4240",
    when: Mapping[str, list[str]] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """A live rule that refuses transfers above a limit."""
    value: object = {"amount": above, "currency": "TZS"} if isinstance(above, str) else above
    currencies = {"currencies": ["TZS"]} if isinstance(above, str) else {}
    return {
        "id": rule_id or fact.replace(".", "-").replace("_", "-"),
        "title": "A limit",
        "kind": "scheme",
        "gate": "transfer",
        "when": {**currencies, **(when or {})},
        "if": {"fact": fact, "window": window, "is": "above", "value": value},
        "then": {"action": "refuse", "code": code},
        **members,
    }


def activate(*rules: Mapping[str, Any]) -> RuleSetVersion:
    """Makes these the active rules from now on, in all processes."""
    content = json.dumps({"language": 1, "name": "Test", "rules": list(rules)})
    accept_text(content.encode())  # no rules that a scheme could not activate
    version = RuleSetVersion.objects.create(
        language=1, name="Test", content=json.loads(content), digest=uuid.uuid4().bytes * 2, author="test"
    )
    sql_for_payments.exclude_groups()
    Activation.objects.create(version=version, valid_from=timezone.now(), reason="test", actor="test")
    active_rules.notice()
    return version


def deactivate() -> None:
    """Ends the rules."""
    sql_for_payments.exclude_groups()
    Activation.objects.create(version=None, valid_from=timezone.now(), reason="test", actor="test")


def id_naming(payer: int, payee: int) -> str:
    """The id of a transfer between these two customers."""
    return str(uuid.UUID(int=(uuid.uuid4().int >> 40 << 40) | payer << 20 | payee))


def key_of_customer(number: int) -> int:
    return key_of("MSISDN", f"2557{number:08}")


def facts_in(command: Prepare, **members: Any) -> Facts:
    """The facts of the quote before this transfer."""
    number = uuid.UUID(command.transfer_id).int
    payer, payee = number >> 20 & 0xFFFFF, number & 0xFFFFF
    return Facts(
        **{
            "gate": "quote",
            "now": timezone.now(),
            "payer_dfsp": command.payer,
            "payee_dfsp": command.payee,
            "currency": command.currency,
            "amount": command.amount,
            "payer": key_of_customer(payer),
            "payee": key_of_customer(payee),
            "payee_alias": key_of_customer(payee),
            "scenario": "TRANSFER",
            **members,
        }
    )


def facts_of_quotes(prepares: Iterable[Prepare]) -> dict[bytes, QuotedFacts]:
    """Stands for the quotes of transfers whose ids name two customers."""
    return {each.digest: quoted(facts_in(each), each.transfer_id) for each in prepares}


def quoted(facts: Facts, transaction_id: str | None = None) -> QuotedFacts:
    """What is kept of a quote that all rules allowed."""
    return QuotedFacts(facts, Kept(facts, 1), transaction_id)


def pay(world: World, payer: int, payee: int, text: str | int = 1, **more: Any) -> Prepare:
    """A prepare from a customer of green to a customer of blue."""
    sender, receiver = more.pop("dfsps", ("green", "blue"))
    return prepare(world, sender, receiver, text, transfer_id=id_naming(payer, payee), **more)
