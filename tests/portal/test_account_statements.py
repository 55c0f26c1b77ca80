"""The statement of an account: it adds up, costs the same however long the account's life, and is its people's."""

import csv
import io
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from hub.audit.models import Entry as AuditEntry
from ledger.models import Entry
from portal.models import AccountMark, LedgerBlock
from portal.permissions import Role
from portal.queries import account_statements, balance_checkpoints
from portal.queries.balance_checkpoints import SIZE
from settlement import window_totals_and_commits
from tests import fx_world
from tests.portal.people import browser, browser_of, person
from tests.portal.test_pages import pay, text_of
from tests.world import World, amount, fulfil, prepare, run

SIGNED_IN = 3  # session, user with profile, groups
FAR = datetime(2100, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def url_of(world: World, name: str = "green", account_type: str = "POSITION") -> str:
    return f"/portal/participants/{name}/accounts/{world.account(name, account_type).pk}/"


def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a minute later: nothing can appear any more among the entries that are there."""
    monkeypatch.setattr(window_totals_and_commits, "surely_seen", lambda: Entry.objects.latest("id").pk)


def begin_block() -> None:
    """The next entry is the first of a new block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('ledger_entry_id_seq')")
        here = cursor.fetchone()[0]
        cursor.execute("SELECT setval('ledger_entry_id_seq', %s)", [(here // SIZE + 1) * SIZE - 1])


def busy_blocks(world: World) -> None:
    """Entries of green in four blocks, and a block between them without any."""
    for _block in range(3):
        for text in ("10", "2.5", "0.0001"):
            pay(world, text=text)
        pay(world, "blue", "green", "1")
        begin_block()
    pay(world, "blue", "red", "1")
    begin_block()
    pay(world, text="3")


def test_what_a_statement_shows_adds_up_to_what_the_account_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy_blocks(world)
    client = browser(Role.VIEWER)
    for is_marked in (False, True):
        if is_marked:
            everything_is_old(monkeypatch)
            assert balance_checkpoints.mark() > 3
            pay(world, text="4")  # and one that is in no block yet
        for account_type in ("POSITION", "SETTLEMENT"):
            account = world.account("green", account_type)
            answer = client.get(url_of(world, account_type=account_type))
            span, page = answer.context["span"], answer.context["page"]
            signed = [line.entry.debit - line.entry.credit for line in page.rows]
            moved = sum(signed) * (1 if account_type == "POSITION" else -1)
            assert span.opening_balance + moved == span.closing_balance
            held = int(account.posted_debits - account.posted_credits)
            assert span.closing_balance == (held if account_type == "POSITION" else -held)
            assert (span.debits, span.credits) == (account.posted_debits, account.posted_credits)
            assert span.entries == len(page.rows) == (1 if account_type == "SETTLEMENT" else 13 + is_marked)
            assert page.rows[0].balance == span.closing_balance
    assert world.breaks() == []


def test_each_page_goes_on_from_the_balance_of_the_one_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_blocks(world)
    everything_is_old(monkeypatch)
    balance_checkpoints.mark()
    account = world.account("green")
    for since, until in ((LONG_AGO, FAR), (Entry.objects.order_by("id")[9].created_at, FAR)):
        found = account_statements.span(account, since=since, until=until)
        whole = account_statements.latest(found, before=None, size=100, own=None)
        assert len(whole) == found.entries
        for size in (1, 2, 3, 5):
            pages, before = [], None
            while lines := account_statements.latest(found, before=before, size=size, own=None):
                pages += lines
                before = lines[-1].entry.id
            assert pages == whole
        assert [line for batch in account_statements.earliest(found, own=None) for line in batch] == whole[::-1]
        balances = [found.opening_balance, *(line.balance for line in whole[::-1])]
        moved = [after - before for before, after in itertools.pairwise(balances)]
        assert moved == [line.entry.debit - line.entry.credit for line in whole[::-1]]
        assert balances[-1] == found.closing_balance


def test_days_follow_each_other_without_a_gap_whether_marked_or_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy_blocks(world)
    account = world.account("green")
    moments = [LONG_AGO, *Entry.objects.order_by("id").values_list("created_at", flat=True), FAR]

    def seen() -> list[tuple[int, int, int]]:
        spans = [
            account_statements.span(account, since=since, until=until) for since, until in itertools.pairwise(moments)
        ]
        for before, after in itertools.pairwise(spans):
            assert before.closing_balance == after.opening_balance
        return [(span.opening_balance, span.entries, span.closing_balance) for span in spans]

    unmarked = seen()
    assert sum(entries for _opening, entries, _closing in unmarked) == 13
    everything_is_old(monkeypatch)
    assert balance_checkpoints.mark(most=2) == 2
    assert seen() == unmarked
    assert balance_checkpoints.mark() > 0
    assert seen() == unmarked


def test_marks_are_made_once_and_only_of_what_can_not_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_blocks(world)
    assert balance_checkpoints.mark() == 0  # it was posted this minute
    everything_is_old(monkeypatch)
    first = balance_checkpoints.mark()
    made = list(AccountMark.objects.values_list("account_id", "block", "debits", "credits", "entries"))
    assert balance_checkpoints.mark() == 0
    assert LedgerBlock.objects.count() == first
    assert list(AccountMark.objects.values_list("account_id", "block", "debits", "credits", "entries")) == made
    last = Entry.objects.latest("id").pk
    assert LedgerBlock.objects.latest("number").number < last // SIZE  # its block is not full


def test_a_mark_that_is_wrong_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_blocks(world)
    everything_is_old(monkeypatch)
    balance_checkpoints.mark()
    assert world.breaks() == []
    wrong = AccountMark.objects.filter(account=world.account("green")).latest("block")
    AccountMark.objects.filter(pk=wrong.pk).update(debits=wrong.debits + 1)
    assert world.breaks() == ["a_mark_is_the_sum_of_its_entries"]


@pytest.mark.parametrize(("path", "queries"), [("", 9), ("?before=", 10), ("?since=2020-01-01", 9)])
def test_a_statement_costs_the_same_whatever_there_is(
    world: World, path: str, queries: int, django_assert_num_queries: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser(Role.VIEWER)
    pay(world)
    pay(world)
    url = url_of(world)
    if path.startswith("?before"):
        path += str(Entry.objects.latest("id").pk)
    client.get(url + path)
    for _round in range(2):
        with django_assert_num_queries(SIGNED_IN + queries):  # type: ignore[operator]
            assert client.get(url + path).status_code == 200
        busy_blocks(world)
        everything_is_old(monkeypatch)
        balance_checkpoints.mark()


def test_an_entry_leads_to_what_posted_it(world: World) -> None:
    paid = pay(world, text="10")
    world.funds_in("green", 7)
    page = text_of(browser(Role.VIEWER), url_of(world))
    assert f'href="/portal/transfers/{paid}/"' in page
    assert f'title="{paid}">{paid[:13]}…<' in page  # the id is not the widest column
    assert ">blue<" in page
    assert "10.00" in page
    page = text_of(browser(Role.VIEWER, name="second"), url_of(world, account_type="SETTLEMENT"))
    assert 'href="/portal/participants/green/#funds"' in page
    assert "5,007.00" in page


def test_who_converted_is_not_led_to_the_payment_of_two_others(world: World) -> None:
    fx_world.open_scheme(world)
    conversion = fx_world.agreed(world)
    paid = conversion.determining_transfer_id
    run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=paid))
    run(fulfil(world, "blue", paid))
    fxp = Entry.objects.get(kind="TRANSFER", transfer_id=paid).debit_account
    url = f"/portal/participants/{fxp.participant.name}/accounts/{fxp.pk}/"
    link = f"/portal/transfers/{paid}/"
    own = browser_of(person(Role.PARTICIPANT_VIEWER, name="own", participant=fxp.participant.name))
    page = text_of(own, url)
    assert paid in page
    assert link not in page
    assert own.get(link).status_code == 404
    assert link in text_of(browser(Role.VIEWER), url)


def test_a_days_end_in_the_visitors_zone_ends_the_statement(world: World) -> None:
    pay(world)
    client = browser(Role.VIEWER)
    today = datetime.now(UTC).date()
    for query, entries in {
        f"since={today}&until={today}": 1,
        f"since={today - timedelta(days=3)}&until={today - timedelta(days=1)}": 0,
        f"since={today + timedelta(days=1)}": 0,
        "until=9999-12-31": 0,
        "since=0001-01-01": 0,
        "since=never&until=x&before=y": 0,
    }.items():
        span = client.get(f"{url_of(world)}?{query}").context["span"]
        assert span.entries == entries, query
        assert span.closing_balance - span.opening_balance == entries * amount(10), query


def test_a_statement_leaves_as_a_file_that_adds_up(world: World) -> None:
    paid = pay(world, text="12.3456")
    pay(world, "blue", "green", "20")
    answer = browser(Role.PARTICIPANT_TREASURER).get(f"{url_of(world)}entries.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["kind"], row["debit"], row["credit"], row["balance"]) for row in rows] == [
        ("OPENING", "", "", "0"),
        ("TRANSFER", "12.3456", "", "12.3456"),
        ("TRANSFER", "", "20", "-7.6544"),
        ("CLOSING", "12.3456", "20", "-7.6544"),
    ]
    assert rows[1]["reference"] == paid
    assert AuditEntry.objects.filter(action="statement_exported", subject="green").count() == 1


def test_more_than_a_file_holds_is_said_before_it_is_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.views.account_statements.MOST_ROWS", 1)
    client, url = browser(Role.VIEWER), url_of(world)
    pay(world)
    assert f"{url}entries.csv" in text_of(client, url)
    pay(world)
    assert f"{url}entries.csv" not in text_of(client, url)
    assert client.get(f"{url}entries.csv")["Location"] == url


@pytest.mark.parametrize("role", [Role.PARTICIPANT_VIEWER, Role.PARTICIPANT_TREASURER])
def test_a_participants_people_see_their_own_accounts_and_no_other_exists(world: World, role: Role) -> None:
    pay(world)
    client = browser(role)
    for account_type in ("POSITION", "SETTLEMENT"):
        url = url_of(world, account_type=account_type)
        assert url in text_of(client, "/portal/participants/green/")
        assert client.get(url).status_code == 200
    blue = world.account("blue").pk
    for stranger in (
        url_of(world, "blue"),
        f"/portal/participants/green/accounts/{blue}/",
        "/portal/participants/green/accounts/99999999999999999999/",
        "/portal/participants/hub/accounts/1/",
    ):
        assert client.get(stranger).status_code == 404, stranger
        assert client.get(f"{stranger}entries.csv").status_code == 404, stranger
    assert AuditEntry.objects.filter(action="statement_exported").count() == 0


def test_a_technician_sees_no_statement(world: World) -> None:
    client = browser(Role.PARTICIPANT_TECHNICIAN)
    assert url_of(world) not in text_of(client, "/portal/participants/green/")
    assert client.get(url_of(world)).status_code == 403
