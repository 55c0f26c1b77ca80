"""Answers requests to pay: a customer approves a request by making the payment, or rejects the request.

A customer with the manner "approves" approves every request immediately. Scripts use these customers to test requests
to pay.
"""

import asyncio
import uuid

import structlog

from example_dfsp.books import Overdrawn
from example_dfsp.fees import payer_fee
from example_dfsp.instructions import Instruction, Instructions
from example_dfsp.payments import Payments
from example_dfsp.requests_to_pay import RequestReceived, RequestsToPay

log = structlog.get_logger(__name__)

APPROVES = "approves"


class Approvals:
    """Approves and rejects."""

    def __init__(self, instructions: Instructions, payments: Payments, requests: RequestsToPay) -> None:
        self._instructions, self._payments, self._requests = instructions, payments, requests
        self._tasks: set[asyncio.Task[None]] = set()

    def begun(self, found: RequestReceived) -> Instruction | None:
        """Returns the payment that answers a request, or None. After a failed payment, another payment can answer the
        request.
        """
        condition = "request_id = ? AND state <> 'FAILED' ORDER BY state IN ('SENT', 'PAID') DESC"
        begun = self._instructions.find(condition, found.request_id)
        return begun[0] if begun else None

    def payment_for(self, found: RequestReceived) -> Instruction:
        """Returns the payment that answers a request. If no payment has begun, the function begins a new payment."""
        return self.begun(found) or Instruction(
            reference=uuid.uuid4().hex,
            kind=found.kind,  # type: ignore[arg-type]
            payer=found.payer,
            payee_type=found.payee_type,
            payee=found.payee,
            amount=found.amount,
            currency=found.currency,
            note=found.note,
            payee_name=found.payee_name,
            payee_fsp=found.payee_fsp,
            bank_fee=payer_fee(found.kind, found.amount, found.currency),
            request_id=found.request_id,
        )

    async def reject(self, found: RequestReceived) -> None:
        """Ends a request and its payment. Does nothing if the customer has confirmed the payment."""
        begun = self.begun(found)
        if begun is not None:
            begun = await self._payments.decline(begun.reference)
        if begun is None or begun.state == "FAILED":
            await asyncio.to_thread(self._reject_unless_paid, found)

    def _reject_unless_paid(self, found: RequestReceived) -> None:
        """Rejects the request. Does nothing if the customer has meanwhile confirmed a payment for this request on
        another page.
        """
        with self._instructions.books.transaction():
            begun = self.begun(found)
            if begun is None or begun.state not in ("SENT", "PAID"):
                self._requests.reject(found.request_id)

    async def approve(self, found: RequestReceived) -> Instruction:
        """Makes the payment for a request to pay. The customer does not have to confirm the payment."""
        payment = await self._payments.ask(self.payment_for(found))
        if payment.state == "OFFERED":
            payment = await self._payments.confirm(payment.reference)
        return payment

    def approve_soon(self, request_id: str) -> None:
        """Approves a request in the background."""
        task = asyncio.create_task(self._approve(request_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _approve(self, request_id: str) -> None:
        found = self._requests.received(request_id)
        if found is None or found.state != "OPEN":
            return
        try:
            await self.approve(found)
        except Overdrawn:
            await self.reject(found)
        except Exception:
            log.exception("request_not_approved", request=request_id)

    async def close(self) -> None:
        """Stops all tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
