"""The pages for requests to pay. On these pages, a customer can ask another person for money, enter a payer's one-time
code, and approve or reject a request to pay.
"""

import uuid

from aiohttp import web

from example_dfsp.pages.wallet import Wallet, reference_of
from example_dfsp.requests_to_pay import RequestMade, RequestReceived
from example_dfsp.shared_by_pages import Entries, Site, Wrong

_SHOWN = 8
_MOST_OPEN = 50  # the largest number of open requests of one customer, because payers see each of these requests


class Requesting:
    """The pages of all customers."""

    def __init__(self, site: Site, wallet: Wallet) -> None:
        self._site, self._wallet, self._bank = site, wallet, site.bank

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        get, post = app.router.add_get, app.router.add_post
        get("/request", self._form)
        post("/request", self._ask)
        get("/requests/{id}", self._made)
        get("/requests/{id}/state", self._made_state)
        post("/requests/{id}/code", self._enter_code)
        get("/asked/{id}", self._asked)
        post("/asked/{id}/review", self._review)
        post("/asked/{id}/reject", self._reject)

    # --- made ---------------------------------------------------------------------------------------------------------

    async def _form(self, request: web.Request) -> web.StreamResponse:
        return self._form_page(request, Entries())

    def _form_page(self, request: web.Request, form: Entries, wrong: Wrong | None = None) -> web.Response:
        customer = self._site.customer(request)
        made = self._bank.requests.find_made("payee = ? ORDER BY created_at DESC", customer.msisdn, limit=_SHOWN)
        return self._site.page(
            request,
            "request.html",
            customer=customer,
            form=form,
            wrong=wrong,
            made=made,
            reference=form["reference"] or uuid.uuid4().hex,
            status=422 if wrong else 200,
        )

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.form(request)
        try:
            number = self._site.other_number(request, form, customer.msisdn)
            amount = self._site.amount(request, form, customer.currency)
        except Wrong as wrong:
            return self._form_page(request, form, wrong)
        return await self.ask(
            request,
            RequestMade(
                home_id=reference_of(form),
                kind="transfer",
                payee=customer.msisdn,
                payer=number,
                amount=amount,
                currency=customer.currency,
                note=self._site.note(form),
            ),
        )

    async def ask(self, request: web.Request, new: RequestMade) -> web.StreamResponse:
        """Sends a request, and redirects to the page that shows the progress of the request."""
        if self._bank.requests.open_of(new.payee) >= _MOST_OPEN:
            raise web.HTTPTooManyRequests
        await self._bank.requests.make(new)
        raise self._site.go(f"/requests/{new.home_id}")

    async def _made(self, request: web.Request) -> web.StreamResponse:
        found = self._own_made(request)
        return self._site.page(
            request, "request_made.html", customer=self._site.customer(request), made=found, wrong=None
        )

    async def _made_state(self, request: web.Request) -> web.StreamResponse:
        found = self._own_made(request)
        return web.json_response({"state": found.state})

    async def _enter_code(self, request: web.Request) -> web.StreamResponse:
        found = self._own_made(request)
        form = await self._site.form(request)
        code = form["code"].replace(" ", "")
        if not (code.isascii() and code.isdecimal() and len(code) == 6):
            _ = self._site.text(request)
            wrong = Wrong("code", _("Enter the six digits that the customer sees."))
            customer = self._site.customer(request)
            return self._site.page(request, "request_made.html", customer=customer, made=found, wrong=wrong, status=422)
        if not await self._bank.requests.enter_code(found.home_id, code):
            raise web.HTTPServiceUnavailable
        raise self._site.go(f"/requests/{found.home_id}")

    def _own_made(self, request: web.Request) -> RequestMade:
        customer = self._site.customer(request)
        found = self._bank.requests.made(request.match_info["id"])
        if found is None or found.payee != customer.msisdn:
            raise web.HTTPNotFound
        return found

    # --- received -----------------------------------------------------------------------------------------------------

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        found = self._own_received(request)
        begun = self._bank.approvals.begun(found)
        if begun is not None and begun.state != "NEW":
            raise self._site.go(f"/payments/{begun.reference}")
        return self._asked_page(request, found)

    def _asked_page(self, request: web.Request, found: RequestReceived, status: int = 200) -> web.Response:
        return self._site.page(request, "asked.html", customer=self._site.customer(request), asked=found, status=status)

    async def _review(self, request: web.Request) -> web.StreamResponse:
        """Requests the terms of the payment. The customer approves or rejects the request to pay on the page of the
        payment."""
        found = self._own_received(request)
        begun = self._bank.approvals.begun(found)
        if begun is not None and begun.state in ("SENT", "PAID"):
            raise self._site.go(f"/payments/{begun.reference}")
        if not found.is_open:
            return self._asked_page(request, found, 422)
        return await self._wallet.begin(request, self._bank.approvals.payment_for(found))

    async def _reject(self, request: web.Request) -> web.StreamResponse:
        await self._bank.approvals.reject(self._own_received(request))
        raise self._site.go("/home")

    def _own_received(self, request: web.Request) -> RequestReceived:
        customer = self._site.customer(request)
        found = self._bank.requests.received(request.match_info["id"])
        if found is None or found.payer != customer.msisdn:
            raise web.HTTPNotFound
        return found
