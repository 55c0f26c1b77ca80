"""Measures the portal's pages on a full ledger: `python -m bench --pages 1000000`."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.hubs import PROJECT
from bench.seed_busy_day import QUIET, SILENT, Crowd, fill

ROUNDS = 20
_CUSTOMER = "255000004321"  # a payee of one payment in 100,000
WITHIN_MS = 150
# The disk space for one transfer with its lookup, its quote, the records of its messages and all indexes. The space for
# the write-ahead log is included.
_BYTES_EACH = 12_000
_LEFT_BYTES = 2 * 2**30  # stays free
_SLICE = 200_000  # rows that the history counts in one transaction
_CHECK_S = 4 * 3600.0
_COUNTED = (
    "ledger_transfer",
    "quotes_quote",
    "quotes_transactionrequest",
    "ledger_entry",
    "outbox_delivery",
    "ledger_fxtransfer",
    "portal_historyrow",
)


def that_fits(transfers: int, folder: Path) -> int:
    """Returns `transfers`, or a smaller number if the disk has no room for this many transfers."""
    free = shutil.disk_usage(folder).free - _LEFT_BYTES
    return max(1000, min(transfers, free // _BYTES_EACH))


def run(state: str, crowd: Crowd, show: Callable[[dict[str, Any]], int]) -> int:
    """Starts PostgreSQL and Valkey without the processes of a hub, and measures every page. Runs `main` in a separate
    process.

    Calls `show` with the figures of the pages, the rows of each table, and the bytes of the database. Then checks the
    ledger and the history, which takes longer than the measurement. Returns the result of `show`.
    """
    from hub.local.stack import Stack

    Path(state).mkdir(parents=True, exist_ok=True)
    if (fitting := that_fits(crowd.transfers, Path(state))) < crowd.transfers:
        print(f"bench: the disk has room for {fitting:,} transfers only", file=sys.stderr)
        crowd = replace(crowd, transfers=fitting)
    with Stack(state, programs=()) as stack:
        stack.manage("migrate", "--noinput")
        command = [sys.executable, "-m", "bench.pages", str(crowd.transfers), str(crowd.hours)]
        env = stack.env | {"DJANGO_SETTINGS_MODULE": "hub.settings", "LOG_LEVEL": "ERROR"}
        done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        result = show(found)
        if "seconds_of_filling" in found:  # in a kept database, reservations are overdue, because no hub ends them
            stack.manage("check_ledger", seconds=_CHECK_S)
        stack.manage("rebuild_history", "--check", seconds=_CHECK_S)
    return result


def main(crowd: Crowd) -> None:
    """Fills the tables if they are empty, requests each page and prints the figures as JSON."""
    import django

    django.setup()
    from django.db import connection

    from ledger.models import Transfer
    from portal import history
    from portal.queries import balance_checkpoints

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    began = time.monotonic()
    is_new = not Transfer.objects.exists()
    if is_new:
        fill(crowd, tell=lambda text: print(f"{text} after {time.monotonic() - began:,.0f} s", file=sys.stderr))
    filled = time.monotonic()
    while balance_checkpoints.mark():  # a running hub writes these checkpoints every ten seconds
        pass
    history.fold(for_s=3600, most=_SLICE)  # a running hub counts history every half minute
    counted = time.monotonic()
    found = _sizes()
    if is_new:
        found |= {"seconds_of_filling": filled - began, "seconds_of_counting": counted - filled}
    connection.close()  # the pages have the usual time limits
    print(json.dumps(found | {"pages": [_measure(*page) for page in _pages()]}))


def _sizes() -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) portal_historyrow")
        rows = {}
        for table in _COUNTED:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 (the constants above)
            rows[table] = cursor.fetchone()[0]
        cursor.execute(
            "SELECT sum(ended) FROM portal_historyrow WHERE source = 'lookup' AND grain = 'month' AND scope = 0"
        )
        rows["lookups"] = int(cursor.fetchone()[0] or 0)
        cursor.execute("SELECT pg_database_size(current_database()), pg_total_relation_size('portal_historyrow')")
        size, of_history = cursor.fetchone()
    return {"rows": rows, "bytes": size, "bytes_of_history": of_history}


Ask = Callable[[], Any]


def _pages() -> Iterator[tuple[str, Ask]]:
    """Yields each page's name, and a function that requests the page."""
    from django.contrib.auth.models import User
    from django.core.cache import caches
    from django.test import Client

    from hub.participants.models import Participant
    from ledger.models import Account, Entry, SettlementWindow, Transfer
    from portal.permissions import HUB_ROLES, Role
    from quotes.models import Quote, TransactionRequest
    from settlement.models import Settlement

    def browser(name: str, roles: frozenset[Role], participant: str = "") -> Client:
        return signed_in(User, name, roles, Participant.objects.filter(name=participant).first())

    def page(client: Client, path: str) -> Ask:
        def ask() -> Any:
            caches["process"].delete("portal:overview")  # the page must not use this cached value
            answer = client.get(f"/portal/{path}")
            answer.getvalue()  # the hub creates a file while the client reads the file
            answer.close()
            return answer

        return ask

    paid = Transfer.objects.filter(state="COMMITTED").order_by("received_at")
    latest, old = paid.reverse()[1000], paid[5]
    refused = Transfer.objects.filter(state="ABORTED", reason="NDC").latest("received_at")
    hour = latest.received_at.strftime("%Y-%m-%dT%H")
    quote = Quote.objects.filter(pk__startswith="q").latest("created_at").pk
    request_to_pay = TransactionRequest.objects.latest("created_at").pk
    windows = list(SettlementWindow.objects.order_by("id").values_list("pk", flat=True))
    hub = browser("bench-hub", HUB_ROLES)
    deep = f"before={old.received_at.isoformat().replace('+', '%2B')}+{old.transfer_id}"
    day = latest.received_at.date().isoformat()
    accounts = {name: Account.objects.get(participant__name=name, type="POSITION").pk for name in ("busy-03", QUIET)}
    busy, quiet = (f"participants/{name}/accounts/{number}/" for name, number in accounts.items())
    midst = Entry.objects.filter(pk__gte=Entry.objects.latest("id").pk // 2).earliest("id").pk
    for name, path in {
        "overview": "overview/",
        "overview, refreshing itself": "overview/live/",
        "payments of a number": f"payments/?alias={_CUSTOMER}",
        "payments of a number and an amount": f"payments/?alias={_CUSTOMER}&amount=4321",
        "payments of a number without payments": "payments/?alias=255655001001",
        "payments of an amount": "payments/?amount=4321",
        "payments of an amount of a busy DFSP": "payments/?amount=4321&payer=busy-03",
        "payments of an unknown amount": "payments/?amount=99999",
        "payments of an hour": f"payments/?since={hour}:00&until={hour}:59",
        "payments of a DFSP in an hour": f"payments/?since={hour}:00&until={hour}:59&payee=busy-03",
        "payments by id": f"payments/?q={latest.pk}",
        "payments by id and number": f"payments/?q={latest.pk}+{_CUSTOMER}",
        "requests to pay of an amount": "payments/?amount=4&kind=request",
        "history by day": "history/",
        "history by hour": "history/?grain=hour",
        "history by week": "history/?grain=week",
        "history by month": "history/?grain=month",
        "history by pair and hour": "history/?grain=hour&by=pair",
        "history by use case": "history/?by=use_case",
        "history by reason": "history/?by=reason",
        "history of a busy DFSP": "history/?payer=busy-03",
        "history of a pair": "history/?grain=hour&payer=busy-03&payee=busy-04&use_case=PAYMENT",
        "transfers": "transfers/",
        "transfers, the last page": f"transfers/?{deep}",
        "transfers by id": f"transfers/?id={latest.pk}",
        "transfers by an unknown id": "transfers/?id=none",
        "transfers by an alias": "transfers/?alias=255655001001",
        "transfers of a busy DFSP": "transfers/?dfsp=busy-03",
        "transfers of a DFSP that paid long ago": f"transfers/?dfsp={QUIET}",
        "transfers of a DFSP without transfers": f"transfers/?dfsp={SILENT}",
        "transfers of a pair": "transfers/?payer=busy-03&payee=busy-04&shown=yes&state=ENDED",
        "transfers of a payer DFSP that paid long ago": f"transfers/?payer={QUIET}&payee=busy-04&state=ENDED",
        "transfers of a use case in an hour": f"transfers/?use_case=PAYMENT&since={hour}:00&until={hour}:59",
        "transfers of an unknown use case": "transfers/?use_case=WITHDRAWAL&state=ENDED",
        "transfers that no payee received": "transfers/?shown=no",
        "transfers aborted": "transfers/?state=ABORTED",
        "transfers reserved": "transfers/?state=RESERVED",
        "transfers with an error": "transfers/?error=4200",
        "transfers with an unknown error": "transfers/?error=3303",
        "transfers of an amount": "transfers/?least=4321&most=4321",
        "transfers of an unknown amount": "transfers/?least=99999",
        "transfers in an unknown currency": "transfers/?currency=KES",
        "transfers of a day": f"transfers/?since={day}&until={day}",
        "transfers of an old window": f"transfers/?window={windows[0]}",
        "transfers of the open window": f"transfers/?window={windows[-1]}",
        "transfers of a number of a day": f"transfers/?alias={_CUSTOMER}&since={day}&until={day}",
        "a transfer": f"transfers/{latest.pk}/",
        "a transfer that a cap refused": f"transfers/{refused.pk}/",
        "a transfer as a PDF": f"transfers/{latest.pk}/payment.pdf",
        "conversions": "conversions/",
        "conversions with an unknown error": "conversions/?error=3303",
        "terms of conversions": "conversions/terms/",
        "callbacks": "callbacks/",
        "directory": "directory/",
        "participants": "participants/",
        "a participant": "participants/busy-03/",
        "statement of a busy DFSP": busy,
        "statement of a busy DFSP, from the middle": f"{busy}?since=2020-01-01&before={midst}",
        "statement of a busy DFSP, a day": f"{busy}?since={day}&until={day}",
        "statement of a DFSP that paid long ago": f"{quiet}?since=2020-01-01",
        "settlement": "settlement/",
        "a closed window": f"settlement/windows/{windows[0]}/",
        "the open window": f"settlement/windows/{windows[-1]}/",
        "a settlement": f"settlement/{Settlement.objects.latest('id').pk}/",
        "approvals": "approvals/",
        "users": "users/",
        "audit trail": "audit/",
        "a quote without a transfer": f"payments/quotes/{quote}/",
        "a request to pay": f"payments/requests/{request_to_pay}/",
        "all settlements": "settlement/all/",
        "alarms": "alarms/",
        "the hub's accounts": "hub/",
        "settings in force": "hub/settings/",
        "skipped rows": "skipped/",
        "held transfers": "held/",
        "alerts": "alerts/",
        "rules": "rules/",
        "notifications": "notifications/",
        "history as CSV": "history.csv?grain=hour&by=pair&table=lines",
        "history as XLSX": "history.xlsx?grain=hour",
    }.items():
        yield name, page(hub, path)
    viewer = frozenset({Role.PARTICIPANT_VIEWER})
    for whose, participant in {"a busy DFSP's": "busy-03", "a quiet DFSP's": QUIET, "a new DFSP's": SILENT}.items():
        client = browser(f"of-{participant}", viewer, participant)
        yield f"{whose} own page", page(client, f"participants/{participant}/")
        yield f"{whose} own transfers", page(client, "transfers/")
        yield f"{whose} own history", page(client, "history/")
        yield f"{whose} own history by hour", page(client, "history/?grain=hour&by=pair&side=received")
        yield f"{whose} own conversions", page(client, "conversions/")
        yield f"{whose} own settlement", page(client, "own-settlement/")


def signed_in(users: Any, name: str, roles: Any, participant: Any) -> Any:
    """Returns a test client with a signed-in session. Creates the session directly, without the sign-in page."""
    from django.test import Client

    from portal.users import create

    user = users.objects.filter(username=name).first() or create(
        username=name, email=f"{name}@example.org", roles=roles, participant=participant, actor="bench"
    )
    client = Client()
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "mfa", "at": time.time(), "type": "totp"}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


def _measure(name: str, ask: Ask) -> dict[str, Any]:
    """Returns the milliseconds of the first response, and the median and maximum of the later responses."""
    took = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        answer = ask()
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (name, answer.status_code)
    first, later = took[0], took[1:]
    figures = {"first": first, "median": statistics.median(later), "slowest": max(later)}
    return {"page": name} | {key: round(value, 1) for key, value in figures.items()}


if __name__ == "__main__":
    main(Crowd(int(sys.argv[1]), float(sys.argv[2]), are_payments=True, with_lookups=True))
