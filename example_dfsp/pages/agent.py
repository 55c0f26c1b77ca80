"""An agent's counter: cash-in for customers of every bank, and cash-out with the customer's one-time code."""

import time
import uuid

from aiohttp import web

from example_dfsp.customers import Customer
from example_dfsp.instructions import Instruction
from example_dfsp.localization import start_of_day
from example_dfsp.pages.requesting import Requesting
from example_dfsp.pages.wallet import Wallet, reference_of
from example_dfsp.requests_to_pay import RequestMade
from example_dfsp.shared_by_pages import Entries, Site, Wrong


class Agent:
    """The pages of an agent."""

    def __init__(self, site: Site, wallet: Wallet, requesting: Requesting) -> None:
        self._site, self._wallet, self._requesting, self._bank = site, wallet, requesting, site.bank

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        agent = self._site.only("agent")
        app.router.add_get("/agent", agent(self._home))
        app.router.add_post("/agent/cash-in", agent(self._cash_in))
        app.router.add_post("/agent/cash-out", agent(self._cash_out))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return self._page(request, "", Entries())

    def _page(self, request: web.Request, which: str, form: Entries, wrong: Wrong | None = None) -> web.Response:
        customer = self._site.customer(request)
        paid_in, paid_out = self._today(customer)
        return self._site.page(
            request,
            "agent.html",
            customer=customer,
            shown_form=which,
            form=form,
            wrong=wrong,
            references=[uuid.uuid4().hex, uuid.uuid4().hex],
            balance=self._bank.books.balance_of(customer.msisdn),
            paid_in=paid_in,
            paid_out=paid_out,
            made=self._bank.requests.find_made(
                "payee = ? AND kind = 'cash_out' ORDER BY created_at DESC", customer.msisdn, limit=6
            ),
            given=self._bank.instructions.find(
                "payer = ? AND kind = 'cash_in' AND state IN ('SENT', 'PAID') ORDER BY created_at DESC",
                customer.msisdn,
                limit=6,
            ),
            status=422 if wrong else 200,
        )

    def _today(self, customer: Customer) -> tuple[int, int]:
        since = start_of_day(time.time())
        given = self._bank.books.row(
            "SELECT coalesce(sum(amount), 0) FROM instruction WHERE payer = ? AND kind = 'cash_in' AND state = 'PAID'"
            " AND created_at >= ?",
            customer.msisdn,
            since,
        )
        got = self._bank.books.row(
            "SELECT coalesce(sum(a.amount), 0) FROM arrival a JOIN incoming i USING (transfer_id) WHERE a.payee = ?"
            " AND a.scenario = 'WITHDRAWAL' AND i.state = 'COMMITTED' AND a.arrived_at >= ?",
            customer.msisdn,
            since,
        )
        assert given is not None
        assert got is not None
        return int(given[0]), int(got[0])

    async def _cash_in(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.form(request)
        try:
            number, amount = self._entries(request, form, customer)
            if amount > self._bank.books.balance_of(customer.msisdn):
                _ = self._site.text(request)
                raise Wrong("amount", _("Your float is too low for this amount. Enter a smaller amount."))
        except Wrong as wrong:
            return self._page(request, "in", form, wrong)
        return await self._wallet.begin(
            request,
            Instruction(
                reference=reference_of(form),
                kind="cash_in",
                payer=customer.msisdn,
                payee_type="MSISDN",
                payee=number,
                amount=amount,
                currency=customer.currency,
                note="",
            ),
        )

    async def _cash_out(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.form(request)
        try:
            number, amount = self._entries(request, form, customer)
        except Wrong as wrong:
            return self._page(request, "out", form, wrong)
        return await self._requesting.ask(
            request,
            RequestMade(
                home_id=reference_of(form),
                kind="cash_out",
                payee=customer.msisdn,
                payer=number,
                amount=amount,
                currency=customer.currency,
            ),
        )

    def _entries(self, request: web.Request, form: Entries, customer: Customer) -> tuple[str, int]:
        number = self._site.other_number(request, form, customer.msisdn)
        return number, self._site.amount(request, form, customer.currency)
