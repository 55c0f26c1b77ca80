"""A shop's till: a QR code or a request to the customer's phone for each sale, the takings of the day, and refunds."""

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass

from aiohttp import web

from example_dfsp import emv_codes
from example_dfsp.arrivals import Arrival
from example_dfsp.books import Books
from example_dfsp.instructions import Instruction
from example_dfsp.localization import start_of_day
from example_dfsp.pages.requesting import Requesting
from example_dfsp.pages.wallet import Wallet, code_of, reference_of
from example_dfsp.qr_pictures import svg_of
from example_dfsp.requests_to_pay import RequestMade
from example_dfsp.shared_by_pages import Entries, Site, Wrong

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sale (
    label TEXT PRIMARY KEY, shop TEXT NOT NULL REFERENCES account, amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL, made_at REAL NOT NULL, reference TEXT NOT NULL UNIQUE
) STRICT;
"""
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # no letters or digits that people confuse
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale. The QR code contains the sale's label. The payer's bank returns the label as the payment's note."""

    label: str
    shop: str
    amount: int
    currency: str
    made_at: float


class Sales:
    """The table of sales, in the database file of the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        books.define(_SCHEMA)

    def add(self, reference: str, shop: str, amount: int, currency: str) -> Sale:
        """Stores and returns the sale that the shop entered in a form. If the browser sends a form twice, the shop
        still has only one sale."""
        label = "".join(secrets.choice(_LETTERS) for _ in range(8))
        self._books.run(
            "INSERT OR IGNORE INTO sale VALUES (?, ?, ?, ?, ?, ?)",
            label,
            shop,
            amount,
            currency,
            time.time(),
            reference,
        )
        row = self._books.row("SELECT label, shop, amount, currency, made_at FROM sale WHERE reference = ?", reference)
        assert row is not None
        return Sale(*row)

    def get(self, label: str) -> Sale | None:
        """Returns the sale with this label, or None."""
        row = self._books.row("SELECT label, shop, amount, currency, made_at FROM sale WHERE label = ?", label)
        return Sale(*row) if row else None


class Till:
    """The pages of a shop."""

    def __init__(self, site: Site, wallet: Wallet, requesting: Requesting) -> None:
        self._site, self._wallet, self._requesting, self._bank = site, wallet, requesting, site.bank
        self._sales = Sales(site.bank.books)

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        shop = self._site.only("shop")
        get, post = app.router.add_get, app.router.add_post
        get("/till", shop(self._home))
        post("/till", shop(self._sell))
        get("/till/sales/{label}", shop(self._sale))
        get("/till/sales/{label}/state", shop(self._sale_state))
        post("/till/sales/{label}/ask", shop(self._ask))
        get("/till/refund/{id}", shop(self._refund_form))
        post("/till/refund/{id}", shop(self._refund))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return self._home_page(request, Entries())

    def _home_page(self, request: web.Request, form: Entries, wrong: Wrong | None = None) -> web.Response:
        customer = self._site.customer(request)
        today = self._bank.books.row(
            "SELECT count(*), coalesce(sum(a.amount), 0), coalesce(sum(a.fee), 0) FROM arrival a"
            " JOIN incoming i USING (transfer_id)"
            " WHERE a.payee = ? AND a.scenario = 'PAYMENT' AND i.state = 'COMMITTED' AND a.arrived_at >= ?",
            customer.msisdn,
            start_of_day(time.time()),
        )
        assert today is not None
        sales, taken, fees = today
        latest = self._bank.arrivals.find(
            "a.payee = ? AND a.scenario = 'PAYMENT' AND i.state = 'COMMITTED' ORDER BY a.arrived_at DESC",
            customer.msisdn,
            limit=_SHOWN,
        )
        return self._site.page(
            request,
            "till.html",
            customer=customer,
            form=form,
            wrong=wrong,
            reference=form["reference"] or uuid.uuid4().hex,
            taken=taken,
            fees=fees,
            sales=sales,
            latest=latest,
            balance=self._bank.books.balance_of(customer.msisdn),
            status=422 if wrong else 200,
        )

    async def _sell(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.form(request)
        try:
            amount = self._site.amount(request, form, customer.currency)
        except Wrong as wrong:
            return self._home_page(request, form, wrong)
        sale = await asyncio.to_thread(self._sales.add, reference_of(form), customer.msisdn, amount, customer.currency)
        raise self._site.go(f"/till/sales/{sale.label}")

    async def _sale(self, request: web.Request) -> web.StreamResponse:
        return self._sale_page(request, self._own(request), Entries())

    def _sale_page(self, request: web.Request, sale: Sale, form: Entries, wrong: Wrong | None = None) -> web.Response:
        customer = self._site.customer(request)
        text = emv_codes.written(code_of(customer, sale.amount, sale.label))
        return self._site.page(
            request,
            "sale.html",
            customer=customer,
            sale=sale,
            paid=self._payment_for(sale),
            svg=svg_of(text),
            text=text,
            form=form,
            wrong=wrong,
            reference=uuid.uuid4().hex,
            status=422 if wrong else 200,
        )

    async def _sale_state(self, request: web.Request) -> web.StreamResponse:
        paid = self._payment_for(self._own(request))
        return web.json_response({"state": "OPEN" if paid is None else "PAID"})

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        """Sends a request to pay to a customer's phone. The shop uses this request if the customer cannot scan the QR
        code."""
        sale, form = self._own(request), await self._site.form(request)
        try:
            number = self._site.other_number(request, form, sale.shop)
        except Wrong as wrong:
            return self._sale_page(request, sale, form, wrong)
        return await self._requesting.ask(
            request,
            RequestMade(
                home_id=reference_of(form),
                kind="merchant",
                payee=sale.shop,
                payer=number,
                amount=sale.amount,
                currency=sale.currency,
                note=sale.label,
            ),
        )

    def _payment_for(self, sale: Sale) -> Arrival | None:
        found = self._bank.arrivals.find(
            "a.payee = ? AND a.note = ? AND a.amount = ? AND i.state = 'COMMITTED' AND a.scenario = 'PAYMENT'",
            sale.shop,
            sale.label,
            sale.amount,
            limit=1,
        )
        return found[0] if found else None

    def _own(self, request: web.Request) -> Sale:
        customer = self._site.customer(request)
        found = self._sales.get(request.match_info["label"])
        if found is None or found.shop != customer.msisdn:
            raise web.HTTPNotFound
        return found

    # --- refunds ------------------------------------------------------------------------------------------------------

    async def _refund_form(self, request: web.Request) -> web.StreamResponse:
        return self._refund_page(request, self._own_payment(request), Entries())

    def _refund_page(
        self, request: web.Request, paid: Arrival, form: Entries, wrong: Wrong | None = None
    ) -> web.Response:
        customer = self._site.customer(request)
        return self._site.page(
            request,
            "refund.html",
            customer=customer,
            arrival=paid,
            left=self._left(paid),
            form=form,
            wrong=wrong,
            reference=form["reference"] or uuid.uuid4().hex,
            balance=self._bank.books.balance_of(customer.msisdn),
            status=422 if wrong else 200,
        )

    async def _refund(self, request: web.Request) -> web.StreamResponse:
        """Requests the terms of a refund. If an FXP converted the sale, an FXP also converts the refund, so the shop
        must see the rate before it confirms the refund."""
        paid, form = self._own_payment(request), await self._site.form(request)
        _ = self._site.text(request)
        customer = self._site.customer(request)
        try:
            amount = self._site.amount(request, form, paid.currency)
            if amount > self._left(paid):
                raise Wrong("amount", _("The refunds of a sale cannot be above the sale. Enter a smaller amount."))
            if amount > self._bank.books.balance_of(customer.msisdn):
                raise Wrong("amount", _("Your balance is too low for this refund. Enter a smaller amount."))
        except Wrong as wrong:
            return self._refund_page(request, paid, form, wrong)
        return await self._wallet.begin(
            request,
            Instruction(
                reference=reference_of(form),
                kind="refund",
                payer=customer.msisdn,
                payee_type=paid.payer_type,
                payee=paid.payer,
                amount=amount,
                currency=paid.currency,
                note=self._site.note(form),
                payee_name=paid.payer_name,
                payee_fsp=paid.payer_fsp,
                refund_of=paid.transfer_id,
            ),
        )

    def _left(self, paid: Arrival) -> int:
        row = self._bank.books.row(
            "SELECT coalesce(sum(amount), 0) FROM instruction WHERE refund_of = ? AND state IN ('SENT', 'PAID')",
            paid.transfer_id,
        )
        assert row is not None
        return paid.amount - int(row[0])

    def _own_payment(self, request: web.Request) -> Arrival:
        customer = self._site.customer(request)
        found = self._bank.arrivals.get(request.match_info["id"])
        if found is None or found.payee != customer.msisdn or found.state != "COMMITTED" or found.scenario != "PAYMENT":
            raise web.HTTPNotFound
        return found
