"""A customer's wallet: balance, payments, receipts, history, and the customer's QR code. Before a payment, the customer
confirms the payee's name and the fee.
"""

import asyncio
import time
import uuid
from typing import Any

from aiohttp import web

from example_dfsp import emv_codes
from example_dfsp.activity import activity_of, kind_of_arrival
from example_dfsp.books import Conflict, Overdrawn
from example_dfsp.customers import Customer
from example_dfsp.emv_codes import CodeError, PaymentCode
from example_dfsp.fees import payer_fee
from example_dfsp.instructions import AboveThePayment, Instruction, Kind
from example_dfsp.payments import CANCELLED
from example_dfsp.qr_pictures import MOST_PIXELS, svg_of, text_in
from example_dfsp.requests_to_pay import MOST_WRONG_CODES
from example_dfsp.shared_by_pages import Entries, Site, Wrong

_SHOWN = 6
_PAGE = 30
_DOUBT_AFTER_S = 15.0
_MOST_ASKED = 20  # the largest number of one customer's payments that wait for terms at the same time
_PICTURES_AT_ONCE = 2  # to read a picture, the bank needs a thread for up to a tenth of a second


class Wallet:
    """The pages of all customers."""

    def __init__(self, site: Site) -> None:
        self._site, self._bank = site, site.bank
        self._reading = asyncio.Semaphore(_PICTURES_AT_ONCE)

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        get, post = app.router.add_get, app.router.add_post
        get("/wallet", self._home)
        get("/history", self._history)
        get("/send", self._send_form)
        post("/send", self._send)
        get("/payments/{reference}", self._payment)
        get("/payments/{reference}/state", self._payment_state)
        post("/payments/{reference}/confirm", self._confirm)
        post("/payments/{reference}/cancel", self._cancel)
        get("/received/{id}", self._received)
        get("/counter/{id}", self._counter_entry)
        get("/scan", self._scan)
        post("/scan", self._scanned)
        post("/scan/picture", self._picture)
        get("/code", self._code)

    async def _home(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        activity, asked, held = await asyncio.to_thread(self._state_of, customer)
        return self._site.page(
            request,
            "wallet.html",
            customer=customer,
            balance=self._bank.books.balance_of(customer.msisdn),
            held=held,
            activity=activity,
            asked=asked,
        )

    def _state_of(self, customer: Customer) -> tuple[list[Any], list[Any], int]:
        held = self._bank.books.row(
            "SELECT coalesce(sum(amount), 0) FROM payment WHERE payer = ? AND state = 'HELD'", customer.msisdn
        )
        assert held is not None
        activity = activity_of(self._bank, customer, before=time.time() + 60, limit=_SHOWN)
        return activity, self._bank.requests.unanswered(customer.msisdn), held[0]

    async def _history(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        try:
            before = float(request.query.get("before", "inf"))
        except ValueError:
            before = float("inf")
        before = min(before, time.time() + 60)
        found = await asyncio.to_thread(activity_of, self._bank, customer, before=before, limit=_PAGE + 1)
        more = found[_PAGE - 1].at if len(found) > _PAGE else None
        return self._site.page(request, "history.html", customer=customer, activity=found[:_PAGE], more=more)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send_form(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        return self._form_page(request, customer, Entries(number=request.query.get("number", "")[:20]))

    def _form_page(
        self, request: web.Request, customer: Customer, form: Entries, wrong: Wrong | None = None
    ) -> web.Response:
        known = self._bank.books.rows(
            "SELECT payee, payee_name, max(created_at) AS latest FROM instruction WHERE payer = ? AND kind = 'transfer'"
            " AND state = 'PAID' AND payee_type = 'MSISDN' GROUP BY payee ORDER BY latest DESC LIMIT 4",
            customer.msisdn,
        )
        return self._site.page(
            request,
            "send.html",
            customer=customer,
            form=form,
            wrong=wrong,
            known=known,
            reference=form.get("reference") or uuid.uuid4().hex,
            balance=self._bank.books.balance_of(customer.msisdn),
            status=422 if wrong else 200,
        )

    async def _send(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        form = await self._site.form(request)
        try:
            number = self._site.other_number(request, form, customer.msisdn)
            amount = self._site.amount(request, form, customer.currency)
            fee = self._affordable_fee(request, "transfer", amount, customer)
        except Wrong as wrong:
            return self._form_page(request, customer, form, wrong)
        return await self.begin(
            request,
            Instruction(
                reference=reference_of(form),
                kind="transfer",
                payer=customer.msisdn,
                payee_type="MSISDN",
                payee=number,
                amount=amount,
                currency=customer.currency,
                note=self._site.note(form),
                bank_fee=fee,
            ),
        )

    def _affordable_fee(self, request: web.Request, kind: Kind, amount: int, customer: Customer) -> int:
        """Returns the bank's fee, or raises Wrong if the balance is too low for the amount and the fee."""
        fee = payer_fee(kind, amount, customer.currency)
        if amount + fee > self._bank.books.balance_of(customer.msisdn):
            _ = self._site.text(request)
            raise Wrong("amount", _("Your balance is too low for this amount and its fee. Enter a smaller amount."))
        return fee

    async def begin(self, request: web.Request, new: Instruction) -> web.StreamResponse:
        """Requests the terms, and redirects to the page on which the customer confirms the terms."""
        if self._bank.instructions.count("payer = ? AND state = 'NEW' AND asks_first", new.payer) >= _MOST_ASKED:
            raise web.HTTPTooManyRequests
        try:
            found = await self._bank.payments.ask(new)
        except Conflict:  # the browser sent the form twice with different entries: show the first payment
            found = self._own(request, new.reference)
        raise self._site.go(f"/payments/{found.reference}")

    async def _payment(self, request: web.Request) -> web.StreamResponse:
        found = self._own(request, request.match_info["reference"])
        asked = self._bank.requests.received(found.request_id) if found.request_id else None
        return self._site.page(
            request,
            "payment.html",
            customer=self._site.customer(request),
            payment=found,
            asked=asked,
            balance=self._bank.books.balance_of(found.payer),
            is_in_doubt=self._is_in_doubt(found),
            wrong=None,
        )

    def _is_in_doubt(self, found: Instruction) -> bool:
        return found.state == "SENT" and time.time() > (found.sent_at or found.created_at) + _DOUBT_AFTER_S

    async def _payment_state(self, request: web.Request) -> web.StreamResponse:
        found = self._own(request, request.match_info["reference"])
        return web.json_response({"state": found.state + (" in doubt" if self._is_in_doubt(found) else "")})

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        found = self._own(request, request.match_info["reference"])
        _ = self._site.text(request)
        form = await self._site.form(request)
        wrong = await self._wrong_approval(request, found, form.get("code", ""))
        if wrong is None:
            try:
                await self._bank.payments.confirm(found.reference)
                raise self._site.go(f"/payments/{found.reference}")
            except Overdrawn:
                wrong = Wrong("", _("Your balance is too low for this payment. Nothing was paid."))
            except Conflict:  # the customer has paid or rejected the same request on another page
                wrong = Wrong("", _("This request was paid or rejected before. Nothing was paid now."))
            except AboveThePayment:  # the shop has meanwhile confirmed another refund of the same sale
                wrong = Wrong("", _("The refunds of a sale cannot be above the sale. Nothing was paid."))
        asked = self._bank.requests.received(found.request_id) if found.request_id else None
        return self._site.page(
            request,
            "payment.html",
            customer=self._site.customer(request),
            payment=self._own(request, found.reference),
            asked=asked,
            balance=self._bank.books.balance_of(found.payer),
            is_in_doubt=False,
            wrong=wrong,
            status=422,
        )

    async def _wrong_approval(self, request: web.Request, found: Instruction, code: str) -> Wrong | None:
        """Checks a customer's approval. Refuses the approval if the request is not open, and compares the entered code.
        Rejects the request after several wrong codes.
        """
        asked = self._bank.requests.received(found.request_id) if found.request_id else None
        if found.state not in ("NEW", "OFFERED") or asked is None:
            return None
        _ = self._site.text(request)
        if not asked.is_open:
            return Wrong("", _("This request was rejected or has expired. Nothing was paid."))
        if asked.code is not None:
            return None  # the request is from a shop or an agent; the bank compares the code later
        tries = self._bank.requests.try_approval(asked.request_id, code.replace(" ", ""))
        if tries == 0:
            return None
        if tries >= MOST_WRONG_CODES:
            await self._bank.approvals.reject(asked)
            raise self._site.go(f"/payments/{found.reference}")
        return Wrong("code", _("This is not the code in the message. Enter the six digits again."))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        found = self._own(request, request.match_info["reference"])
        asked = self._bank.requests.received(found.request_id) if found.request_id else None
        if asked is not None:
            await self._bank.approvals.reject(asked)
        else:
            await self._bank.payments.decline(found.reference)
        raise self._site.go(f"/payments/{found.reference}" if found.state in ("SENT", "PAID") else "/home")

    def _own(self, request: web.Request, reference: str) -> Instruction:
        """Returns a payment of the customer who is signed in."""
        customer = self._site.customer(request)
        found = self._bank.instructions.get(reference)
        if found is None or found.payer != customer.msisdn:
            raise web.HTTPNotFound
        return found

    # --- receipts -----------------------------------------------------------------------------------------------------

    async def _received(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        found = self._bank.arrivals.get(request.match_info["id"])
        if found is None or found.payee != customer.msisdn or found.state != "COMMITTED":
            raise web.HTTPNotFound
        refunds = self._bank.instructions.find(
            "refund_of = ? AND state IN ('SENT', 'PAID', 'FAILED') AND coalesce(error_code, '') <> ?"
            " ORDER BY created_at",
            found.transfer_id,
            CANCELLED,
        )
        returned = sum(refund.amount for refund in refunds if refund.state in ("SENT", "PAID"))
        return self._site.page(
            request,
            "received.html",
            customer=customer,
            arrival=found,
            kind=kind_of_arrival(found),
            refunds=refunds,
            left=found.amount - returned,
        )

    async def _counter_entry(self, request: web.Request) -> web.StreamResponse:
        customer = self._site.customer(request)
        found = self._bank.counter.get(request.match_info["id"])
        if found is None or found.customer != customer.msisdn:
            raise web.HTTPNotFound
        return self._site.page(request, "counter_entry.html", customer=customer, entry=found)

    # --- QR codes -----------------------------------------------------------------------------------------------------

    async def _code(self, request: web.Request) -> web.StreamResponse:
        """Shows the QR code of the signed-in customer. If the URL's query has an amount, the QR code contains this
        amount."""
        customer = self._site.customer(request)
        wrong, amount, entered = None, None, request.query.get("amount", "")[:30]
        if entered:
            try:
                amount = self._site.amount(request, {"amount": entered}, customer.currency)
            except Wrong as error:
                wrong = error
        text = emv_codes.written(code_of(customer, amount))
        return self._site.page(
            request,
            "code.html",
            customer=customer,
            svg=svg_of(text),
            text=text,
            code_amount=amount,
            entered=entered,
            wrong=wrong,
        )

    async def _scan(self, request: web.Request) -> web.StreamResponse:
        return self._site.page(request, "scan.html", customer=self._site.customer(request), wrong=None, text="")

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        """Reads the code in a picture. The browser sends the picture as grey pixels."""
        self._site.customer(request)
        _ = self._site.text(request)
        width = request.query.get("width", "")
        pixels = await request.content.read(MOST_PIXELS + 1)
        while len(pixels) <= MOST_PIXELS and (more := await request.content.read(MOST_PIXELS + 1 - len(pixels))):
            pixels += more
        if not width.isdecimal() or len(width) > 5 or len(pixels) > MOST_PIXELS:
            return web.json_response({"error": _("The picture is too large. Choose a smaller picture.")}, status=413)
        async with self._reading:
            text = await asyncio.to_thread(text_in, pixels, int(width))
        if text is None:
            return web.json_response(
                {"error": _("There is no QR code in this picture. Take the picture from nearer.")}, status=422
            )
        return web.json_response({"text": text})

    async def _scanned(self, request: web.Request) -> web.StreamResponse:
        """Begins the payment that a QR code describes. If the code has no amount, asks for the amount first."""
        customer = self._site.customer(request)
        form = await self._site.form(request)
        _ = self._site.text(request)
        text = form.get("text", "")
        try:
            code = emv_codes.read(text)
        except CodeError as error:
            wrong = Wrong("text", _("This QR code cannot be paid here") + f": {_(str(error))}.")
            return self._site.page(request, "scan.html", customer=customer, wrong=wrong, text=text, status=422)
        shown: dict[str, Any] = {"customer": customer, "code": code, "text": text, "form": form}
        reference = form.get("reference") or uuid.uuid4().hex
        try:
            if (code.id_type, code.id_value) in customer.aliases:
                raise Wrong("amount", _("This is your own code. Scan the code of another person or shop."))
            if code.amount is None and "amount" not in form:
                return self._site.page(request, "pay_code.html", wrong=None, reference=reference, **shown)
            amount = code.amount or self._site.amount(request, form, customer.currency)
            amount_in_own = amount if code.currency == customer.currency or code.amount is None else None
            if amount_in_own is None:
                raise Wrong(
                    "amount", _("This code asks for an amount in another currency. Ask for a code without an amount.")
                )
            kind: Kind = "merchant" if code.is_merchant else "transfer"
            fee = self._affordable_fee(request, kind, amount, customer)
        except Wrong as wrong:
            return self._site.page(request, "pay_code.html", wrong=wrong, reference=reference, status=422, **shown)
        return await self.begin(
            request,
            Instruction(
                reference=reference_of({"reference": reference}),
                kind=kind,
                payer=customer.msisdn,
                payee_type=code.id_type,
                payee=code.id_value,
                amount=amount,
                currency=customer.currency,
                note=code.reference or self._site.note(form),
                bank_fee=fee,
            ),
        )


def code_of(customer: Customer, amount: int | None = None, reference: str = "") -> PaymentCode:
    """Returns a customer's QR code. A shop's QR code contains the till number, and a person's QR code contains the
    phone number."""
    id_type, id_value = customer.aliases[-1]
    return PaymentCode(
        id_type=id_type,
        id_value=id_value,
        name=customer.name,
        city=customer.place.split(",")[0],
        currency=customer.currency,
        amount=amount,
        reference=reference,
        category="5499" if customer.till else "0000",
    )


def reference_of(form: dict[str, str]) -> str:
    """Returns the payment id from the form. If the form is sent twice, the bank pays only once, because both copies
    contain the same id."""
    try:
        return uuid.UUID(form.get("reference", "")).hex
    except ValueError:
        return uuid.uuid4().hex
