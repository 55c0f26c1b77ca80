"""The bank's counter: a teller finds a customer, sees the account, and takes in or pays out cash."""

import asyncio
import time
import uuid

from aiohttp import web

from example_dfsp.activity import activity_of
from example_dfsp.books import Conflict, Overdrawn
from example_dfsp.cash_entries import CounterEntry
from example_dfsp.customers import Customer
from example_dfsp.pages.wallet import reference_of
from example_dfsp.sessions import STAFF
from example_dfsp.shared_by_pages import Entries, Site, Wrong

_SHOWN, _FOUND = 12, 20


class Teller:
    """The pages of a teller."""

    def __init__(self, site: Site) -> None:
        self._site, self._bank = site, site.bank

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        teller = self._site.only("teller")
        app.router.add_get("/teller", teller(self._home))
        app.router.add_get("/teller/{msisdn}", teller(self._customer))
        app.router.add_post("/teller/{msisdn}", teller(self._cash))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("q", "").strip()[:60]
        found = [customer for customer in self._bank.customers.all if _fits(customer, wanted.lower())]
        return self._site.page(
            request,
            "teller.html",
            wanted=wanted,
            found=found[:_FOUND] if wanted else [],
            more=len(found) - _FOUND,
            entries=self._bank.counter.latest(_SHOWN),
            names={customer.msisdn: customer.name for customer in self._bank.customers.all},
            cash=-self._bank.books.balance_of("cash"),
            currency=self._bank.books.currency,
        )

    async def _customer(self, request: web.Request) -> web.StreamResponse:
        return self._customer_page(request, self._known(request), Entries())

    def _customer_page(
        self, request: web.Request, customer: Customer, form: Entries, wrong: Wrong | None = None
    ) -> web.Response:
        return self._site.page(
            request,
            "teller_customer.html",
            customer=customer,
            form=form,
            wrong=wrong,
            done=self._bank.counter.get(request.query.get("done", "")),
            reference=form["reference"] or uuid.uuid4().hex,
            balance=self._bank.books.balance_of(customer.msisdn),
            activity=activity_of(self._bank, customer, before=time.time() + 60, limit=_SHOWN),
            status=422 if wrong else 200,
        )

    async def _cash(self, request: web.Request) -> web.StreamResponse:
        customer, form = self._known(request), await self._site.form(request)
        _ = self._site.text(request)
        try:
            amount = self._site.amount(request, form, customer.currency)
            reference = reference_of(form)
            entry = CounterEntry(
                reference,
                customer.msisdn,
                amount if form["what"] == "in" else -amount,
                customer.currency,
                self._site.note(form),
                STAFF["teller"],
                0.0,
            )
            try:
                await asyncio.to_thread(self._bank.counter.post, entry)
            except Overdrawn:
                raise Wrong("amount", _("The balance is too low for this amount. Enter a smaller amount.")) from None
            except Conflict:
                raise Wrong("", _("This form was sent before with another amount. Open the customer again.")) from None
        except Wrong as wrong:
            return self._customer_page(request, customer, form, wrong)
        raise self._site.go(f"/teller/{customer.msisdn}?done={reference}")

    def _known(self, request: web.Request) -> Customer:
        found = self._bank.customers.get(request.match_info["msisdn"])
        if found is None:
            raise web.HTTPNotFound
        return found


def _fits(customer: Customer, wanted: str) -> bool:
    return wanted in customer.name.lower() or wanted in customer.msisdn or (wanted != "" and wanted == customer.till)
