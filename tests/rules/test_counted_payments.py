"""From the quote to the profile, through the API: the parties of a transfer are those of its quote."""

import uuid
from typing import Any

import pytest
from django.core.management import call_command

from fspiop import ilp
from ledger.models import Transfer
from ledger.rule_history import rebuild
from rules.party_keys import key_of
from rules.profiles import folding
from rules.profiles.models import CountedTransfer, Profile
from tests.api import messages
from tests.api.caller import dfsp
from tests.rules.limits import activate, limit
from tests.world import World, amount

MONEY = {"currency": "TZS", "amount": "20"}
PAYEE = key_of("MSISDN", "255655001001")


def pay(payer: str) -> str:
    """A quote, its answer and the transfer. Returns the transfer's id."""
    condition = ilp.condition_for(ilp.fulfilment_for(messages.PACKET, uuid.uuid4().bytes))
    quote = messages.quote(amount=MONEY, payer=messages.party("green", payer))
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    terms = messages.terms(transferAmount=MONEY, condition=condition)
    path = f"/quotes/{quote['quoteId']}"
    assert dfsp("PUT", path, terms, source="blue", destination="green").status_code == 200
    transfer = messages.transfer(amount=MONEY, condition=condition)
    assert dfsp("POST", "/transfers", transfer).status_code == 202
    return str(transfer["transferId"])


def states(*transfer_ids: str) -> list[tuple[str, str | None]]:
    found = {row[0]: row[1:] for row in Transfer.objects.values_list("pk", "state", "error_code")}
    return [found[each] for each in transfer_ids]


def test_a_payer_is_limited_whatever_the_spelling_of_its_number(committed_world: World) -> None:
    activate(limit(above=2))
    numbers = ["255712001001", "+255712001001", "255712001001", "255712001002"]
    assert states(*map(pay, numbers)) == [
        ("RESERVED", None),
        ("RESERVED", None),
        ("ABORTED", "4240"),
        ("RESERVED", None),
    ]
    folding.fold()
    assert Profile.objects.get(pk=PAYEE).counted == 3
    assert rebuild.compare().differences == []


def test_payments_are_counted_before_there_are_rules_if_the_scheme_says_so(
    committed_world: World, settings: Any
) -> None:
    first = pay("255712001001")
    assert not CountedTransfer.objects.exists()
    settings.RULES_COUNT = True
    second = pay("255712001001")
    assert states(first, second) == [("RESERVED", None)] * 2
    assert CountedTransfer.objects.get().payer_key == key_of("MSISDN", "255712001001")
    activate(limit(above=1))
    assert states(pay("255712001001")) == [("ABORTED", "4240")]
    folding.fold()
    assert Profile.objects.get(pk=PAYEE).received == amount(20)


def test_operators_compare_profiles_with_the_transfers_and_make_them_anew(
    committed_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    activate(limit(above=9))
    for _ in range(2):
        pay("255712001001")
    call_command("rebuild_profiles", "--check")
    call_command("check_ledger")
    payer = key_of("MSISDN", "255712001001")
    Profile.objects.filter(pk=payer).update(ring=b"", counted=0, sent=0)
    capsys.readouterr()
    for command in (["rebuild_profiles", "--check"], ["check_ledger"]):
        with pytest.raises(SystemExit) as ended:
            call_command(*command)
        assert ended.value.code == 1
        assert f"profile {payer}" in capsys.readouterr().out
    call_command("rebuild_profiles")
    assert "profiles: 1 rebuilt" in capsys.readouterr().out
    call_command("check_ledger")
    assert Profile.objects.get(pk=payer).counted == 2
