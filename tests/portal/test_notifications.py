"""E-mails and webhooks that were given up are seen, and sent again or put aside, by those who may."""

from datetime import UTC, datetime

import pytest
from django.core.cache import caches
from django.test import Client, override_settings

from hub.audit.models import Entry
from hub.notifications import notify
from hub.notifications.models import Notification
from portal.permissions import Role
from tests.portal.people import browser
from tests.world import World

STRANGE = "<script>alert(1)</script>"
HOOK = "https://alarms.example/hooks/a-secret-path?key=secret"


@pytest.fixture
def given_up(world: World) -> list[int]:
    """An e-mail, one with a secret, and a webhook; and one that waits."""
    with override_settings(SENDS_EMAIL=True):
        ids = notify(kind="alarm", recipients=["asha@example.org", HOOK], subject="Watch out", text="x")
        ids += notify(
            kind="invitation", recipients=["neema@example.org"], subject="Your account", text="link", is_secret=True
        )
        Notification.objects.update(
            state="GIVEN_UP", sealed=None, ended_at=datetime.now(UTC), attempts=9, last_error=STRANGE
        )
        notify(kind="alarm", recipients=["waits@example.org"], subject="Watch out", text="x")
    return ids


def page_of(client: Client, query: str = "") -> str:
    return client.get(f"/portal/notifications/{query}").content.decode()


def states() -> dict[str, str]:
    return {n.shown_recipient: n.state for n in Notification.objects.all()}


def test_what_was_given_up_is_shown_with_its_last_answer(given_up: list[int]) -> None:
    page = page_of(browser(Role.OPERATOR))
    for part in ("asha@example.org", "neema@example.org", "alarms.example/…", "Watch out", "Invite the person again"):
        assert part in page, part
    assert "waits@example.org" not in page
    assert "waits@example.org" in page_of(browser(Role.AUDITOR), "?state=all")
    assert STRANGE not in page
    assert "&lt;script&gt;" in page


def test_a33_the_path_of_a_webhook_is_shown_to_nobody(given_up: list[int]) -> None:
    for role in (Role.OPERATOR, Role.ADMINISTRATOR, Role.AUDITOR):
        assert "a-secret-path" not in page_of(browser(role), "?state=all")
    client = browser(Role.OPERATOR, name="second")
    client.post(f"/portal/notifications/{given_up[1]}/resend/")
    assert "secret" not in str(list(Entry.objects.values_list("after", flat=True)))


def test_an_operator_sends_again_and_puts_aside(given_up: list[int]) -> None:
    client = browser(Role.OPERATOR)
    client.post(f"/portal/notifications/{given_up[0]}/resend/")
    for number in (given_up[2], 999_999):  # held a secret; is not there
        client.post(f"/portal/notifications/{number}/resend/")
    client.post(f"/portal/notifications/{given_up[2]}/put-aside/")
    client.post(f"/portal/notifications/{given_up[2]}/put-aside/")
    assert states() == {
        "asha@example.org": "PENDING",
        "alarms.example/…": "GIVEN_UP",
        "neema@example.org": "WITHDRAWN",
        "waits@example.org": "PENDING",
    }
    said = Entry.objects.filter(action__startswith="notification_").order_by("id").values_list("action", "actor")
    assert list(said) == [("notification_resent", "operator"), ("notification_put_aside", "operator")]


def test_an_auditor_looks_and_changes_nothing(given_up: list[int]) -> None:
    client = browser(Role.AUDITOR)
    for word in ("resend", "put-aside"):
        assert client.post(f"/portal/notifications/{given_up[0]}/{word}/").status_code == 403
    assert "Send again" not in page_of(client)
    assert states()["asha@example.org"] == "GIVEN_UP"


def test_the_overview_says_how_many_were_given_up_and_leads_there_who_may_look(given_up: list[int]) -> None:
    for role, is_linked in {Role.OPERATOR: True, Role.VIEWER: False}.items():
        caches["process"].clear()
        page = browser(role).get("/portal/overview/").content.decode()
        assert "Notifications given up" in page
        assert ('class="tile bad" href="/portal/notifications/"' in page) is is_linked
    Notification.objects.update(state="WITHDRAWN", ended_at=datetime.now(UTC))
    caches["process"].clear()
    assert "Notifications given up" not in browser(Role.RISK).get("/portal/overview/").content.decode()
