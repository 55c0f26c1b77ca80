"""A change of the active rules while payments arrive: each group is judged by one whole version."""

import json
import threading
from dataclasses import replace

from django.db import connections

from fspiop import bodies
from fspiop.bodies.quotes import QuotePost
from hub import agreement_engine
from hub.agreement_outcomes import RefusedAndStored
from rules.rulesets import services
from rules.rulesets.models import Decision
from tests.agreements import ask_terms
from tests.api import messages
from tests.rules.rule_sets import above, create, refuse, rule
from tests.world import World


def version(code: str) -> int:
    """Two rules that refuse with one code: one for TZS and one for KES."""
    rules = [rule(currency.lower(), above("1", currency=currency), refuse(code)) for currency in ("TZS", "KES")]
    return create(*rules).pk


def group(world: World) -> list[str]:
    """The codes with which a group of requests in both currencies is refused."""
    commands = []
    for currency in ("TZS", "KES", "TZS", "KES"):
        details = bodies.convert(QuotePost, messages.quote(amount={"currency": currency, "amount": "2"}))
        # The payee has no account in KES, but only the rules look at that here.
        command = ask_terms(world.ids, quote_id=details.quote_id, content=details.quote_id)
        commands.append(replace(command, details=details))
    outcomes = agreement_engine.run(commands)
    assert all(isinstance(outcome, RefusedAndStored) for outcome in outcomes)
    return [
        json.loads(outcome.message.body)["errorInformation"]["errorCode"]
        for outcome in outcomes
        if isinstance(outcome, RefusedAndStored)
    ]


def test_no_group_is_judged_by_half_of_a_version(committed_world: World) -> None:
    world = committed_world
    first, second = version("3150"), version("3151")
    services.activate(first, reason="test", actor="asha")
    is_over = threading.Event()
    seen: list[list[str]] = []
    faults: list[BaseException] = []

    def pay() -> None:
        try:
            while not is_over.is_set():
                seen.append(group(world))
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=pay) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in (second, first) * 4:
        services.activate(number, reason="test", actor="asha")
        # Nobody is judged by the earlier version once the activation is committed.
        assert set(group(world)) == {"3151" if number == second else "3150"}
    is_over.set()
    for thread in threads:
        thread.join(20)
    assert faults == []
    assert {len(set(codes)) for codes in seen} == {1}
    assert {code for codes in seen for code in codes} == {"3150", "3151"}
    judged = set(Decision.objects.values_list("version", "code"))
    assert judged == {(first, "3150"), (second, "3151")}
