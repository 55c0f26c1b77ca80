"""Onboarding step by step: nothing is there before a second person approves all of it; then all of it is there."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from hub.audit.models import Approval
from hub.participants.models import Credential, Participant
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from tests import proofs, signing
from tests.portal.people import browser, person
from tests.portal.test_participants import approve, latest, text_of
from tests.proofs import key_of
from tests.world import World, amount

NEW = "/portal/participants/new/"
SAID: dict[str, dict[str, Any]] = {
    "identity": {"name": "newbank"},
    "money": {"currency_0": "TZS", "ndc_0": "10", "currency_1": "KES", "ndc_1": "2.50"},
    "connection": {"endpoint": "https://new.example/fsp", "networks": "192.0.2.7\n2001:db8::/48"},
    "security": {"csr": "", "key": ""},
    "contacts": {"role_0": "operations", "name_0": "Neema", "email_0": "neema@new.example", "phone_0": "+255 22 1"},
}


def walk(client: Client, **changes: dict[str, Any]) -> None:
    """Goes through every step up to the last look."""
    client.get(NEW)
    for step, said in SAID.items():
        answer = client.post(f"{NEW}{step}/", said | changes.get(step, {}))
        assert answer.status_code == 302, (step, answer.content.decode())


def new_bank() -> Participant:
    return Participant.objects.get(name="newbank")


def test_all_that_was_said_is_there_after_the_approval_and_nothing_before(
    world: World, tmp_path: Path, settings: object
) -> None:
    for name, value in signing.authority_in(tmp_path).items():
        setattr(settings, name, value)
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    walk(operator, security={"csr": signing.csr("newbank"), "key": proofs.public_pem(key_of("newbank signs"))})
    told = text_of(operator, f"{NEW}review/")
    assert operator.post(f"{NEW}review/", {"reason": "joins"}).status_code == 302
    assert not Participant.objects.filter(name="newbank").exists()
    for page in (told, text_of(checker, f"/portal/approvals/{latest().pk}/")):
        for part in ("10.00", "2.50", "https://new.example/fsp", "192.0.2.7/32", "CN=newbank", "neema@new.example"):
            assert part in page, part
    assert "The participant exists, but it is not live" in approve(checker)
    caps = dict(new_bank().accounts.filter(type="POSITION").values_list("currency", "net_debit_cap"))
    assert caps == {"TZS": amount(10), "KES": amount("2.5")}
    assert set(new_bank().accounts.values_list("is_active", flat=True)) == {True}
    assert new_bank().endpoints.get().value == "https://new.example/fsp"
    assert sorted(new_bank().networks.values_list("network", flat=True)) == ["192.0.2.7/32", "2001:db8::/48"]
    assert new_bank().contacts.get().name == "Neema"
    assert sorted(Credential.objects.values_list("kind", flat=True)) == ["certificate", "signingKey"]
    assert world.breaks() == []


def test_what_was_sent_is_forgotten_and_a_new_walk_begins_empty(world: World) -> None:
    operator = browser(Role.OPERATOR)
    walk(operator)
    operator.post(f"{NEW}review/", {"reason": "joins"})
    assert operator.get(f"{NEW}review/")["Location"] == f"{NEW}identity/"
    walk(operator, identity={"name": "otherbank"})
    assert "newbank" not in text_of(operator, f"{NEW}review/")


def test_a_half_filled_form_is_kept_until_its_owner_starts_anew(world: World) -> None:
    operator = browser(Role.OPERATOR)
    assert operator.get(NEW)["Location"] == f"{NEW}identity/"
    operator.post(f"{NEW}identity/", SAID["identity"])
    operator.post(f"{NEW}money/", SAID["money"])
    offered = text_of(operator, NEW)
    assert "The form for newbank has not been submitted." in offered
    assert f'href="{NEW}connection/"' in offered
    assert 'value="newbank"' in text_of(operator, f"{NEW}identity/")
    assert operator.post(NEW)["Location"] == f"{NEW}identity/"
    assert operator.get(f"{NEW}money/")["Location"] == f"{NEW}identity/"
    assert operator.get(NEW)["Location"] == f"{NEW}identity/"


def test_going_back_to_the_caps_does_not_change_them(world: World) -> None:
    operator = browser(Role.OPERATOR)
    walk(operator)
    page = operator.get(f"{NEW}money/")
    shown = {field.html_name: field.value() or "" for field in page.context["form"]}
    assert (shown["ndc_0"], shown["ndc_1"]) == ("10", "2.5")
    assert 'value="2.5"' in page.content.decode()
    operator.post(f"{NEW}money/", shown)
    operator.post(f"{NEW}review/", {"reason": "joins"})
    asked = latest().payload["currencies"]
    assert asked == [{"currency": "TZS", "ndc": amount(10)}, {"currency": "KES", "ndc": amount("2.5")}]


def test_a_form_that_only_waits_for_its_review_leads_there(world: World) -> None:
    operator = browser(Role.OPERATOR)
    walk(operator)
    assert f'href="{NEW}review/"' in text_of(operator, NEW)
    assert "newbank" not in text_of(browser(Role.OPERATOR, name="other"), f"{NEW}identity/")


def test_no_step_is_skipped_and_each_can_be_gone_back_to(world: World) -> None:
    operator = browser(Role.OPERATOR)
    assert operator.get(f"{NEW}contacts/")["Location"] == f"{NEW}identity/"
    operator.post(f"{NEW}identity/", SAID["identity"])
    assert operator.get(f"{NEW}security/")["Location"] == f"{NEW}money/"
    assert operator.post(f"{NEW}review/", {"reason": "x"})["Location"] == f"{NEW}money/"
    assert 'value="newbank"' in text_of(operator, f"{NEW}identity/")
    assert operator.get(f"{NEW}no-such-step/").status_code == 404
    assert not Approval.objects.exists()


@pytest.mark.parametrize(
    ("step", "said", "why"),
    [
        ("identity", {"name": "a"}, "2 to 30"),
        ("identity", {"name": "Green"}, "differs only in case"),
        ("identity", {"name": "green"}, "already has this name"),
        ("identity", {"name": "Switch"}, "reserved"),
        ("money", {"currency_0": ""}, "required"),
        ("money", {"ndc_0": "1e3"}, "Write an amount"),
        ("money", {"ndc_1": ""}, "Enter a cap"),
        ("money", {"currency_1": ""}, "Choose a currency"),
        ("money", {"currency_1": "TZS"}, "already in the list"),
        ("money", {"currency_1": "ZZZ"}, "valid choice"),
        ("connection", {"endpoint": "file:///etc"}, "http or https"),
        ("connection", {"networks": "192.0.2.1/24"}, "neither an address nor a network"),
        ("connection", {"networks": "0.0.0.0/0"}, "allows every address"),
        ("connection", {"networks": "localhost"}, "neither an address nor a network"),
        ("security", {"key": "nonsense"}, "not a usable public key"),
        ("contacts", {"name_0": ""}, "Enter the name"),
        ("contacts", {"role_0": ""}, "Enter the role"),
        ("contacts", {"email_0": "", "phone_0": ""}, "address or a telephone"),
        ("contacts", {"phone_0": "call me"}, "valid value"),
    ],
)
def test_what_is_wrong_is_said_at_its_step(world: World, step: str, said: dict[str, Any], why: str) -> None:
    operator = browser(Role.OPERATOR)
    walk(operator)
    answer = operator.post(f"{NEW}{step}/", SAID[step] | said)
    assert answer.status_code == 400
    assert why in answer.content.decode()


def test_a_request_of_the_form_before_the_steps_is_still_read_and_done(world: World) -> None:
    payload = {"participant": "oldbank", "currency": "TZS", "ndc": amount(5), "endpoint": ""}
    asked = changes.ask(visitor_for(person(Role.OPERATOR)), "onboard", subject="oldbank", payload=payload, reason="r")
    checker = browser(Role.RISK)
    assert "5.00" in text_of(checker, f"/portal/approvals/{asked.pk}/")
    approve(checker)
    assert Participant.objects.get(name="oldbank").accounts.get(type="POSITION").net_debit_cap == amount(5)


def test_a_currency_is_added_by_two_people(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    path = "/portal/participants/green/currencies/new/"
    assert operator.post(path, {"currency": "TZS", "ndc": "1", "reason": "r"}).status_code == 400
    operator.post(path, {"currency": "KES", "ndc": "1", "reason": "r"})
    approve(checker)
    assert Participant.objects.get(name="green").accounts.get(type="POSITION", currency="KES").is_active
