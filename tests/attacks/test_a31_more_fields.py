"""A31: what a form or a message does not have can not be set through it."""

import pytest
from django.contrib.auth.models import User

from directory.models import Oracle
from hub.audit.models import Approval
from hub.participants.models import Participant
from ledger.models import Transfer
from portal.models import Profile
from portal.permissions import Role
from tests.api import messages
from tests.api.caller import admin, call, dfsp
from tests.portal.people import browser_of, person
from tests.world import World, amount

MORE = {
    "is_hub": True,
    "isHub": True,
    "is_active": True,
    "id": 1,
    "pk": 1,
    "state": "COMMITTED",
    "posted_credits": 10**12,
    "net_debit_cap": 10**12,
    "is_superuser": True,
    "approved": True,
}


def test_a31_the_administration_sets_only_what_it_names(world: World) -> None:
    admin("POST", "/participants", {"name": "newbank", "currency": "TZS"} | MORE)
    made = Participant.objects.filter(name="newbank").first()
    assert made is None or not made.is_hub
    if made is not None:
        account = made.accounts.get(type="POSITION")
        assert (account.posted_credits, account.net_debit_cap, account.is_active) == (0, None, False)
    before = world.account("green")
    admin("PUT", "/participants/green", {"isActive": True} | MORE)
    after = world.account("green")
    assert (after.posted_credits, after.net_debit_cap) == (before.posted_credits, before.net_debit_cap)
    body = {"oracleIdType": "MSISDN", "endpoint": {"value": "http://o.example", "endpointType": "URL"}} | MORE
    call("POST", "/api/directory/v1/oracles", body)
    assert not Oracle.objects.filter(pk=1, type="COMMITTED").exists()


@pytest.mark.django_db(transaction=True)
def test_a31_a_transfer_does_not_say_its_own_end(committed_world: World) -> None:
    said = (
        messages.transfer() | {"transferState": "COMMITTED", "fulfilment": "x" * 43, "completedTimestamp": "now"} | MORE
    )
    status = dfsp("POST", "/transfers", said, destination="blue").status_code
    found = Transfer.objects.filter(pk=said["transferId"]).first()
    assert status in (202, 400)
    assert found is None or (found.state, found.fulfilment, found.amount) == ("RESERVED", None, amount(100))


def test_a31_a_user_asked_for_gets_the_roles_of_the_request_and_no_more(world: World) -> None:
    asha, juma = (person(Role.ADMINISTRATOR, name=name) for name in ("asha", "juma"))
    sent = {
        "username": "neema",
        "email": "neema@example.org",
        "roles": ["viewer"],
        "participant": "",
        "reason": "new",
        "is_superuser": "on",
        "is_staff": "on",
        "password": "x",
        "groups": "1",
        "state": "APPROVED",
        "checker": str(juma.pk),
    }
    browser_of(asha).post("/portal/users/new/", sent)
    approval = Approval.objects.get()
    assert (approval.state, approval.checker) == ("PENDING", None)
    assert set(approval.payload) == {"username", "email", "roles", "participant"}
    browser_of(juma).post(f"/portal/approvals/{approval.pk}/approve/", {"payload": "{}", "roles": "administrator"})
    neema = User.objects.get(username="neema")
    assert (neema.is_superuser, neema.is_staff, neema.has_usable_password()) == (False, False, False)
    assert list(neema.groups.values_list("name", flat=True)) == ["viewer"]


def test_a31_a_persons_own_account_says_nothing_of_its_roles_or_participant(world: World) -> None:
    user = person(Role.PARTICIPANT_VIEWER, participant="green")
    blue = Participant.objects.get(name="blue")
    sent = {
        "time_zone": "UTC",
        "language": "",
        "participant": str(blue.pk),
        "participant_id": str(blue.pk),
        "user": "1",
    }
    browser_of(user).post("/portal/account/", sent | {"roles": "administrator", "is_superuser": "1"})
    assert Profile.objects.get(user=user).participant.name == "green"
    user.refresh_from_db()
    assert not user.is_superuser
