"""The audit trail's page and its proof."""

import csv
import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from hub.audit import coming_from, record, trail
from hub.audit.models import Entry
from portal.permissions import Role
from tests.portal.people import browser
from tests.world import World


def test_an_entry_says_who_when_from_where_before_and_after(world: World) -> None:
    with coming_from("192.0.2.7"):
        record("ndc_changed", subject="green", actor="asha", before={"ndc": 10_000}, after={"ndc": 25_000})
    text = browser(Role.AUDITOR).get("/portal/audit/?subject=green&action=ndc_changed").content.decode()
    for part in ("192.0.2.7", "asha", "ndc_changed", "<dd>1.00</dd>", "<dd>2.50</dd>"):
        assert part in text
    assert list(trail.broken_links()) == []


def test_what_a_browser_does_is_recorded_with_its_address(world: World) -> None:
    client = browser(Role.VIEWER)
    client.post("/portal/sign-out/", REMOTE_ADDR="198.51.100.9")
    assert Entry.objects.get(action="signed_out").address == "198.51.100.9"


def test_the_search_is_paged_by_key_and_forgives_bad_input(world: World) -> None:
    for number in range(120):
        record("noted", subject=f"s{number:03}", actor="asha")
    client = browser(Role.AUDITOR)
    page = client.get("/portal/audit/?action=noted")
    first = [entry.subject for entry in page.context["page"].rows]
    assert (len(first), first[0]) == (50, "s119")
    second = client.get("/portal/audit/?" + page.context["page"].next_query).context["page"].rows
    assert second[0].subject == "s069"
    for query in ("before=x", "before=99999999999999999999", "since=nonsense", "before=-1"):
        assert client.get(f"/portal/audit/?{query}").status_code == 200, query


def test_a24_a_cell_that_would_be_a_formula_is_text_in_the_file(world: World) -> None:
    record("noted", subject="=cmd|' /C calc'!A0", actor="@SUM(1)")
    answer = browser(Role.AUDITOR).get("/portal/audit/entries.csv?action=noted")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert (rows[0]["about"], rows[0]["who"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)")


def test_a37_the_command_finds_an_entry_that_was_changed_behind_the_guards(world: World) -> None:
    record("noted", subject="a", actor="asha")
    said = io.StringIO()
    call_command("check_audit", stdout=said)
    assert "follow each other" in said.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_entry SET address = '192.0.2.1' WHERE action = 'noted'")
        cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    with pytest.raises(CommandError, match="broken"):
        call_command("check_audit", stdout=io.StringIO())
