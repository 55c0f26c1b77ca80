"""What people read: words in place of internals, their language's numbers, one word for one thing, and clear faults."""

import logging
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import get_commands, load_command_class
from django.db import connection
from django.test import Client
from django.utils import translation

from hub.audit import record
from hub.participants.models import Participant
from portal.models import Profile
from portal.permissions import Role
from portal.templatetags import portal as tags
from tests.cases import of_each
from tests.portal.people import browser, browser_of, person
from tests.world import World, amount, prepare, run


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_history_has_words_in_place_of_internals(world: World) -> None:
    record(
        "approval_asked",
        subject="green",
        actor="asha",
        after={
            "kind": "onboard",
            "payload": {
                "currencies": [{"currency": "TZS", "ndc": amount(5000)}],
                "contacts": [{"name": "Neema", "email": "neema@green.example"}],
                "amount": amount(1250),
            },
            "validUntil": "2028-11-29T13:02:44.123456+00:00",
            "isActive": True,
        },
    )
    for client, path in (
        (browser(Role.AUDITOR), "/portal/audit/?subject=green"),
        (browser(Role.VIEWER), "/portal/participants/green/"),
    ):
        page = text_of(client.get(path).content.decode()).replace("&#x27;", "'")
        for words in ("5,000.00", "1,250.00", "Net debit cap", "neema@green.example", "2028-11-29 13:02:44", "yes"):
            assert words in page, (path, words)
        for internal in ("{'", "[{", str(amount(5000)), ".123456", "validUntil", "isActive", "True"):
            assert internal not in page, (path, internal)


def test_numbers_are_written_as_the_language_writes_them() -> None:
    faults = []
    for code, million, percent, seconds in (
        ("en", "1,234,567.50", "99.5 %", "4.2 s"),
        ("fr", "1\u202f234\u202f567,50", "99,5 %", "4,2 s"),
        ("sw", "1,234,567.50", "99.5 %", "4.2 s"),
    ):
        with translation.override(code):
            said = (tags.money(12_345_675_000, "TZS"), tags.as_percent(99.5), tags.age(4.2), tags.whole(1234567))
        if said != (million, percent, seconds, million[:-3]):
            faults.append((code, said))
    assert faults == []


def test_states_are_words_in_each_language() -> None:
    for code in ("fr", "sw"):
        with translation.override(code):
            same = [
                name
                for name in tags.STATE_WORDS
                if f">{name}<" in tags.state(name) or f">{name.replace('_', ' ')}<" in tags.state(name)
            ]
        assert same == []
    assert ">DEAD<" not in tags.state("DEAD")
    assert re.sub("<[^>]+>", "", tags.state("DEAD")) == re.sub("<[^>]+>", "", tags.state("GIVEN_UP")) == "GIVEN UP"


def test_the_errors_of_the_api_are_words_in_each_language(world: World) -> None:
    cache.clear()
    user = person(Role.VIEWER)
    Profile.objects.filter(user=user).update(language="fr")
    refused = prepare(world, "green", "blue", 9_999)
    run(refused)
    client = browser_of(user)
    page = client.get("/portal/transfers/").content.decode()
    assert "4001" in page
    assert "liquidité" in page
    story = client.get(f"/portal/transfers/{refused.transfer_id}/").content.decode()
    # only the message itself, as it was sent, keeps its language
    assert "insufficient liquidity" not in page + re.sub(r'<pre class="raw".*?</pre>', "", story, flags=re.DOTALL)


def test_a_paused_participant_is_paused_on_each_page(world: World) -> None:
    Participant.objects.filter(name="green").update(is_active=False)
    client = browser(Role.VIEWER)
    for path in ("/portal/participants/", "/portal/participants/green/"):
        page = client.get(path).content.decode()
        assert "paused" in page, path
        assert "inactive" not in page, path


def test_a_nul_is_a_bad_request_and_no_fault_of_the_hub(world: World) -> None:
    client = browser_of(person(Role.OPERATOR), raise_request_exception=False)
    api = Client(raise_request_exception=False)

    def check(path: str) -> None:
        if path.startswith("/api"):  # the administration APIs have answers of their own, as the reference's
            assert api.get(path).status_code in (200, 400, 401)
            return
        answer = client.get(path)
        assert answer.status_code == 400, answer.status_code
        assert b"<html" in answer.content

    of_each(
        [
            "/portal/transfers/%00/",
            "/portal/transfers/?party=%00",
            "/portal/participants/gre%00en/",
            "/portal/audit/?subject=x%00",
            "/portal/directory/?value=%00",
            "/admin/%00",
            "/admin/login/?next=%00",
            "/api/ledger/v1/participants/%00",
            "/api/ledger/v1/participants?x=%00",
            "/api/settlement/v2/settlements?state=%00",
        ]
    )(check)()
    cookie = Client(raise_request_exception=False, headers={"Cookie": 'kitovu_session="aaaaaaaaaaaa\\000"'})
    assert cookie.get("/portal/").status_code == 400
    asked = Client(raise_request_exception=False)
    assert asked.post("/portal/sign-in/", {"login": "a\0", "password": "x"}).status_code in (200, 400)


def test_the_page_of_a_fault_has_a_reference_that_is_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from portal.views import audit

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the page")

    client = browser_of(person(Role.AUDITOR), raise_request_exception=False)
    monkeypatch.setattr(audit.AuditSearch, "rows", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/portal/audit/")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "portal.css" in page
    assert "Reference" in page
    found = re.search(r'data-reference="([0-9A-Z-]{8,})"', page)
    assert found is not None
    assert any(found[1] in str(line.msg) for line in caplog.records)
    assert "a fault of the page" not in page


# --- what is printed for people to type -------------------------------------------------------------------------------


def test_the_commands_for_the_first_users_work_as_printed(transactional_db: None, tmp_path: Path) -> None:
    from hub.local.__main__ import first_users

    url = connection.settings_dict
    database = f"postgres://{url['USER']}:{url['PASSWORD']}@{url['HOST']}:{url['PORT']}/{url['NAME']}"
    if str(url["HOST"]).startswith("/"):
        database = f"postgres://{url['USER']}@/{url['NAME']}?host={url['HOST']}&port={url['PORT']}"
    printed = first_users("http://127.0.0.1:9", tmp_path / "state")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("STATE", "PORT", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE")
    }
    env |= {"DATABASE_URL": database, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-ec", "\n".join(printed)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert User.objects.count() == 2
    assert done.stdout.count("http://127.0.0.1:9/portal/invitation/#") == 2


_COMMAND = re.compile(r"manage\.py ([a-z_]+)([^`\n]*)")


def test_the_commands_of_the_operators_page_exist_and_take_these_arguments() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "operators.md").read_text()
    found = _COMMAND.findall(text)
    assert len(found) > 20

    def check(name: str, rest: str) -> None:
        command = load_command_class(get_commands()[name], name)
        said = re.split(r"\s#|\s>|\s&&|\. |, |: ", rest)[0].rstrip(" .,:;)")
        arguments = shlex.split(said)
        if arguments:
            command.create_parser("manage.py", name).parse_args(arguments)

    of_each(found)(check)()
