"""The bulk page of an employer or a government office. The page checks and shows the payments of a CSV file, makes the
payments, and offers the results for download.
"""

import asyncio
import re
import time
import uuid
from contextlib import suppress

from aiohttp import web

from example_dfsp import payment_lists
from example_dfsp.books import Overdrawn
from example_dfsp.customers import read_customers
from example_dfsp.instructions import Kind
from example_dfsp.localization import count_shown, month_shown
from example_dfsp.pages.wallet import reference_of
from example_dfsp.payment_batches import Batch, Choice, IsRepeated, Repeats, Result
from example_dfsp.payment_lists import Fault
from example_dfsp.shared_by_pages import LANGUAGE, Site
from kitovu_connector import format_amount

_SHOWN = 100
_EXAMPLES = (25, payment_lists.MOST_LINES)
_STATES = {"PAID": "PAID", "FAILED": "NOT_PAID", "SENT": "UNDER_WAY"}
_RESULT = (
    *("id", "to", "name", "payeeName", "amount", "currency", "note", "state", "transferId"),
    *("errorCode", "errorDescription", "payeeReceiveAmount", "payeeReceiveCurrency"),
)
_REPEATS: dict[str, Choice] = {"leave out": "leave out", "pay again": "pay again"}


class Bulk:
    """The pages of an employer or a government office."""

    def __init__(self, site: Site) -> None:
        self._site, self._bank = site, site.bank

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        office = self._site.only("employer", "government")
        get, post = app.router.add_get, app.router.add_post
        get("/bulk", office(self._home))
        post("/bulk", office(self._upload))
        get("/bulk/example/{lines}.csv", office(self._example))
        get("/bulk/{id}", office(self._batch))
        get("/bulk/{id}/state", office(self._state))
        get("/bulk/{id}/results.csv", office(self._results))
        post("/bulk/{id}/pay", office(self._pay))
        post("/bulk/{id}/withdraw", office(self._withdraw))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return self._home_page(request, [])

    def _home_page(self, request: web.Request, faults: list[Fault]) -> web.Response:
        customer = self._site.customer(request)
        batches = self._bank.batches.find("owner = ? AND state <> 'WITHDRAWN' ORDER BY made_at DESC", customer.msisdn)
        return self._site.page(
            request,
            "bulk.html",
            customer=customer,
            faults=faults,
            batches=batches[:20],
            reference=uuid.uuid4().hex,
            balance=self._bank.books.balance_of(customer.msisdn),
            examples=_EXAMPLES,
            status=422 if faults else 200,
        )

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.posted(request)
        sent = form.get("file")
        if not isinstance(sent, web.FileField):
            return self._home_page(request, [Fault(0, "Choose a CSV file.")])
        raw = sent.file.read()
        lines, faults = await asyncio.to_thread(payment_lists.read, raw, customer.currency, customer.msisdn)
        if faults:
            return self._home_page(request, faults)
        kind: Kind = "benefit" if customer.kind == "government" else "salary"
        batch_id = reference_of({"reference": str(form.get("reference", ""))})
        await asyncio.to_thread(
            self._bank.batches.add, batch_id, customer.msisdn, kind, sent.filename, customer.currency, lines
        )
        raise self._site.go(f"/bulk/{batch_id}")

    async def _example(self, request: web.Request) -> web.StreamResponse:
        """Returns a file with payments to people of all banks.

        A visitor without a payroll file can try the page with this file.
        """
        customer = self._site.customer(request)
        lines = request.match_info["lines"]
        if lines not in map(str, _EXAMPLES):
            raise web.HTTPNotFound
        people = [
            (found.msisdn, found.name)
            for found in read_customers()
            if found.kind == "person" and not found.manner and found.currency == customer.currency
        ]
        people.sort(key=lambda found: found[0][-4:])  # so that people of different banks alternate in the list
        month = month_shown(time.time())
        return _file(payment_lists.example(people, customer.currency, int(lines), month), f"example-{lines}.csv")

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        batch = self._own(request)
        results = await asyncio.to_thread(self._bank.batches.results, batch.id)
        repeats = Repeats()
        if batch.state == "CHECKED":
            repeats = await asyncio.to_thread(self._bank.batches.repeats, batch)
        return self._site.page(
            request,
            "batch.html",
            customer=self._site.customer(request),
            batch=batch,
            progress=self._bank.batches.progress(batch.id),
            results=results[:_SHOWN],
            failed=[found for found in results if found.state == "FAILED"][:_SHOWN],
            repeats=repeats,
            repeated=[found for found in results if found.line in repeats.lines][:_SHOWN],
            balance=self._bank.books.balance_of(batch.owner),
            speed=self._speed(batch),
        )

    def _speed(self, batch: Batch) -> float:
        """Returns how many lines ended per second, on average."""
        if batch.begun_at is None:
            return 0.0
        seconds = (batch.ended_at or time.time()) - batch.begun_at
        return self._bank.batches.progress(batch.id).done / max(seconds, 0.001)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        batch = self._own(request)
        progress = await asyncio.to_thread(self._bank.batches.progress, batch.id)
        counts = {"done": progress.done, "paid": progress.paid, "failed": progress.failed}
        texts = {name: count_shown(count, request[LANGUAGE]) for name, count in counts.items()}
        return web.json_response({"state": batch.state, "done": progress.done, "texts": texts})

    async def _results(self, request: web.Request) -> web.StreamResponse:
        batch = self._own(request)
        results = await asyncio.to_thread(self._bank.batches.results, batch.id)
        text = payment_lists.written(_RESULT, [_result(batch.currency, found) for found in results])
        stem = re.sub("[^0-9A-Za-z_-]", "", batch.file_name.rsplit(".", 1)[0])
        return _file(text, f"{stem or 'payments'}.results.csv")

    async def _pay(self, request: web.Request) -> web.StreamResponse:
        batch, form = self._own(request), await self._site.form(request)
        with suppress(IsRepeated, Overdrawn):  # the page explains the reason
            self._bank.batches.begin(batch.id, _REPEATS.get(form["repeats"], "refuse"))
        raise self._site.go(f"/bulk/{batch.id}")

    async def _withdraw(self, request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(self._bank.batches.withdraw, self._own(request).id)
        raise self._site.go("/bulk")

    def _own(self, request: web.Request) -> Batch:
        customer = self._site.customer(request)
        found = self._bank.batches.get(request.match_info["id"])
        if found is None or found.owner != customer.msisdn:
            raise web.HTTPNotFound
        return found


def _result(currency: str, found: Result) -> tuple[str | None, ...]:
    """Returns a line of the results, in the order of the columns in `_RESULT`."""
    receive_amount, receive_currency = found.receive_amount, found.receive_currency
    if found.state == "PAID" and receive_amount is None:  # a payment within the bank has no terms of another bank
        receive_amount, receive_currency = found.amount, currency
    return (
        *(found.own_id, found.payee, found.name, found.payee_name, format_amount(found.amount), currency, found.note),
        *(_STATES.get(found.state or "", "NOT_BEGUN"), found.transfer_id, found.error_code, found.error_text),
        *(None if receive_amount is None else format_amount(receive_amount), receive_currency),
    )


def _file(text: str, name: str) -> web.Response:
    return web.Response(
        text=text,
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
