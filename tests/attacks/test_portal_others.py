"""A25, A26: a participant's people see nothing of another, by whatever id; and no other site acts in their name."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from hub.audit.models import Approval
from hub.list_of_urls import urls_below
from portal import changes
from portal.access import Rule
from portal.models import SavedView
from portal.permissions import PARTICIPANT_ROLES, RIGHTS, Role
from portal.urls import SIGN_IN_PAGES
from portal.visitor import visitor_for
from quotes.models import Quote, TransactionRequest
from tests.portal.people import browser, browser_of, person, read_users_once
from tests.world import World, amount, fulfil, prepare, run


def open_to_participants() -> set[str]:
    found = set()
    for _route, pattern in urls_below("portal/"):
        if pattern.name in SIGN_IN_PAGES:
            continue
        rule: Rule = pattern.callback.rule
        if any(right and RIGHTS[right] & PARTICIPANT_ROLES for right in (rule.get, rule.post)):
            found.add(pattern.name)
    return found


# Each page that a participant's people may open, with an id of another participant's where it takes one.
OTHERS = {
    "transfers": {},
    "transfers_csv": {},
    "payments": {},
    "save_view": {},
    "remove_view": {"view_id": "theirs"},
    "quote": {"quote_id": "theirs"},
    "request_to_pay": {"request_id": "theirs"},
    "payment_json": {"transfer_id": "theirs"},
    "payment_pdf": {"transfer_id": "theirs"},
    "transfer": {"transfer_id": "theirs"},
    "participant": {"name": "blue"},
    "funds_out": {"name": "blue", "currency": "TZS"},
    "change_endpoint": {"name": "blue"},
    "change_networks": {"name": "blue"},
    "add_contact": {"name": "blue"},
    "remove_contact": {"name": "blue", "contact_id": 1},
    "sign_certificate": {"name": "blue"},
    "certificate": {"name": "blue", "credential_id": 1},
    "add_credential": {"name": "blue"},
    "revoke_credential": {"name": "blue", "credential_id": 1},
    "callbacks": {},
    "approvals": {},
    "approval": {"approval_id": "theirs"},
    "conversions": {},
    "terms_of_conversions": {},
    "conversion": {"conversion_id": "theirs"},
    "history": {},
    "history_csv": {},
    "history_xlsx": {},
    "own_settlement": {},
    "own_windows_csv": {},
    "own_settlements_csv": {},
    "withdraw": {"approval_id": "theirs"},
}
OWN = {name for name in open_to_participants() if name.startswith(("account", "mfa_", "usersessions", "home"))}


def test_a26_every_page_open_to_participants_is_tried_here() -> None:
    assert open_to_participants() - OWN == set(OTHERS)


@pytest.mark.parametrize("role", sorted(PARTICIPANT_ROLES))
def test_a26_what_is_anothers_does_not_exist(world: World, role: Role) -> None:
    theirs = prepare(world, "blue", "red", 10)
    run(theirs)
    run(fulfil(world, "red", theirs.transfer_id))
    officer = person(Role.SETTLEMENT)
    payload = {
        "participant": "blue",
        "currency": "TZS",
        "amount": amount(1),
        "reference": "",
        "reason": "",
        "transfer_id": str(uuid.uuid4()),
    }
    approval = changes.ask(visitor_for(officer), "funds_out", subject="blue", payload=payload, reason="r")
    client = browser_of(person(role, participant="green"))
    view = SavedView.objects.create(user=officer, name="theirs", query="amount=1")
    sides = {"payer_id": world.ids["blue"], "payee_id": world.ids["red"]}
    stored = sides | {"request": b"{}", "request_headers": {}, "request_digest": b"x" * 32}
    quote = Quote.objects.create(quote_id=str(uuid.uuid4()), transaction_id=theirs.transfer_id, **stored)
    asked = TransactionRequest.objects.create(transaction_request_id=str(uuid.uuid4()), **stored)
    ids = {"transfer_id": theirs.transfer_id, "approval_id": approval.pk, "view_id": view.pk}
    ids |= {"quote_id": quote.pk, "request_id": asked.pk}
    for name, arguments in OTHERS.items():
        kwargs = {key: ids.get(key, value) for key, value in arguments.items()}
        for method in ("get", "post"):
            answer = getattr(client, method)(reverse(name, kwargs=kwargs))
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            if arguments:
                assert answer.status_code in (403, 404, 405), (name, method)
            assert theirs.transfer_id.encode() not in body, name
            assert b"blue" not in body, name
    assert Approval.objects.get().state == "PENDING"
    assert SavedView.objects.get() == view


def test_a26_both_sides_of_a_payment_see_it_and_nobody_else(world: World) -> None:
    command = prepare(world, "blue", "red", 10)
    run(command)
    for name, status in {"blue": 200, "red": 200, "green": 404, "grey": 404}.items():
        client = browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name))
        assert client.get(f"/portal/transfers/{command.transfer_id}/").status_code == status


def test_a25_a_post_without_the_pages_token_changes_nothing(world: World) -> None:
    client = browser(Role.RISK, name="asha")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    sent = {"ndc": "5", "alarm_percentage": "10", "reason": "x"}
    answer = strict.post("/portal/participants/green/TZS/cap/", sent)
    assert answer.status_code == 403
    assert "has expired" in answer.content.decode()
    assert Client(enforce_csrf_checks=True).post("/portal/sign-in/", {"login": "x", "password": "y"}).status_code == 403
    assert not Approval.objects.exists()


def test_a25_no_page_can_be_framed_or_run_anothers_code(world: World) -> None:
    client = browser(Role.VIEWER)
    for path in ("overview/", "transfers/", "account/", "no-such-page/"):
        answer = client.get(f"/portal/{path}")
        policy = answer["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"
        text = answer.content.decode()
        assert "<style" not in text
        assert " style=" not in text
        assert "onclick" not in text
        assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.thorough
def test_a23_every_search_field_takes_what_is_hostile_without_a_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_users_once(monkeypatch)
    client = browser(Role.AUDITOR)
    hostile = [
        "'",
        '"',
        "\\",
        "%",
        "_",
        "%00",
        "' OR '1'='1",
        "1;SELECT pg_sleep(9)--",
        "\ud7ff",
        "x" * 5000,
        "-1",
        "1e9",
    ]
    for path in ("transfers/", "audit/", "callbacks/", "directory/", "approvals/", "settlement/"):
        page = client.get(f"/portal/{path}")
        names = [*(page.context.get("search") or {}).fields] if page.context.get("search") else []
        for name in {*names, "before", "dfsp", "state"}:
            for text in hostile:
                answer = client.get(f"/portal/{path}", {name: text})
                assert answer.status_code == 200, (path, name, text)
