"""Who comes to Django's admin without a right to it, how one gets that right, and what its pages offer."""

import re

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import Client

from hub.audit.models import Entry
from hub.outbox.models import Message
from portal.permissions import Role
from tests.factories import UserFactory
from tests.portal.people import browser, browser_of, person
from tests.portal.test_pages import pay
from tests.world import World


def hops(client: Client, path: str) -> tuple[int, int]:
    """How many redirects a browser follows, up to nine, and the last status."""
    count = 0
    answer = client.get(path)
    while answer.status_code in (301, 302) and count < 9:
        count, answer = count + 1, client.get(answer["Location"])
    return count, answer.status_code


def test_who_is_not_staff_is_told_so_and_not_sent_round(world: World) -> None:
    user = person(Role.ADMINISTRATOR)
    assert hops(browser_of(user), "/admin/") == (0, 403)
    assert hops(browser_of(user), "/admin/login/?next=/admin/") == (0, 403)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert hops(browser_of(user), "/admin/") == (0, 200)
    assert hops(Client(), "/admin/")[1] == 200  # the portal's sign-in
    assert hops(browser_of(user, has_second_factor=False), "/admin/") == (0, 403)


def test_no_page_of_the_admin_offers_what_it_discards(world: World) -> None:
    person(Role.VIEWER)
    client = browser_of(UserFactory.create(username="root", is_root=True))
    index = client.get("/admin/").content.decode()
    assert "addlink" not in index
    assert "changelink" not in index
    lists = sorted(set(re.findall(r'href="(/admin/\w+/\w+/)"', index)))
    assert "/admin/auth/user/" in lists
    for path in lists:
        page = client.get(path).content.decode()
        assert "addlink" not in page, path
        rows = re.findall(rf'href="({path}[^"?]+/change/)', page)
        for row in rows[:1]:
            assert 'type="submit" value="Save' not in client.get(row).content.decode(), row
        answer = client.post(f"{path}add/", {})
        assert answer.status_code in (403, 405), path  # not a redirect that looks like success


def test_a_command_makes_somebody_staff_and_ends_it(world: World) -> None:
    user = person(Role.AUDITOR)
    client = browser_of(user)
    assert client.get("/admin/").status_code == 403
    call_command("admin_reader", user.username)
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "/admin/ledger/transfer/" in page.content.decode()
    assert client.get("/admin/ledger/transfer/").status_code == 200
    assert Entry.objects.get(action="admin_reading_allowed").subject == user.username
    call_command("admin_reader", user.username, "--end")
    assert client.get("/admin/").status_code == 403
    assert Entry.objects.get(action="admin_reading_ended").subject == user.username
    with pytest.raises(CommandError):
        call_command("admin_reader", "nobody-at-all")
    with pytest.raises(CommandError):  # would see other participants' data
        call_command("admin_reader", person(Role.PARTICIPANT_VIEWER).username)


def test_all_given_up_are_sent_or_cleared_and_the_tile_goes_down(world: World) -> None:
    pay(world)
    pay(world)
    green = Message.objects.filter(destination__name="green")
    green.update(state="DEAD")
    # One is a request of red's that green never accepted: red was notified.
    request = green.earliest("id")
    Message.objects.filter(pk=request.pk).update(reply_to_id=world.ids["red"], error_path="/parties/x/error")
    client = browser(Role.OPERATOR)
    assert client.get("/portal/overview/").context["dead"] == green.count() == 2
    told = client.post("/portal/callbacks/of/green/resend/", follow=True).content.decode()
    caches["process"].clear()
    assert client.get("/portal/overview/").context["dead"] == 0
    assert "1 request was put aside, because its requester was notified" in told
    assert set(green.exclude(pk=request.pk).values_list("state", flat=True)) == {"PENDING"}
    assert green.get(pk=request.pk).state == "DEAD"  # not sent: nobody waits for its answer
    assert "No callbacks in this list" in client.get("/portal/callbacks/?dfsp=green").content.decode()
