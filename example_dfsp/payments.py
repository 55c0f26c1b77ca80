"""Makes payments through the connector, and records the end of each payment in the books, even after a crash.

If an instruction's money is held, the bank repeats the payment's requests until the connector reports the end of the
payment. After a crash, the bank continues with all payments whose money is held. The bank gives the connector an id for
each payment, so a repeated request begins no second payment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from example_dfsp.books import Conflict
from example_dfsp.connector_calls import Answer, ConnectorCalls, code_of, is_refusal, text_of
from example_dfsp.customers import Customer, Customers
from example_dfsp.instructions import Instruction, Instructions
from example_dfsp.own_payments import OwnPayments
from kitovu_connector import format_amount, parse_amount

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0  # how long a page waits for the terms or the outcome before it shows the progress
CANCELLED, WRONG_CODE, NO_TERMS = "4100", "4101", "2004"
_TERMS_WITHIN_S = 60.0
_LONGEST_PAUSE_S = 10.0
_LONGEST_PAUSE_FOR_A_CODE_S = 1.0  # the payer and the payee wait at the payee's device

# kind: scenario and sub-scenario
_KINDS: dict[str, tuple[str, str | None]] = {
    "transfer": ("TRANSFER", None),
    "merchant": ("PAYMENT", None),
    "refund": ("REFUND", None),
    "cash_in": ("DEPOSIT", None),
    "cash_out": ("WITHDRAWAL", None),
    "salary": ("TRANSFER", "SALARY"),
    "benefit": ("TRANSFER", "BENEFIT"),
}


class Payments:
    """All outgoing payments of the bank."""

    def __init__(
        self, customers: Customers, instructions: Instructions, calls: ConnectorCalls, own: OwnPayments
    ) -> None:
        self._customers, self._instructions, self._calls, self._own = customers, instructions, calls, own
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.code_of: Callable[[str], str | None] = lambda request_id: None  # the one-time code of a request to pay
        self.reject_request: Callable[[str], None] = lambda request_id: None

    def resume(self) -> None:
        """Continues with every payment whose money is held. Runs when the bank starts."""
        for found in self._instructions.open():
            self._start(found.reference, self._drive(found.reference))
        for found in self._instructions.find("state = 'NEW' AND asks_first"):
            self._start(found.reference, self._ask_terms(found.reference))

    async def close(self) -> None:
        """Stops all tasks. The books record every step of a payment."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def get(self, reference: str) -> Instruction | None:
        """Returns the instruction with this reference, or None."""
        return await asyncio.to_thread(self._instructions.get, reference)

    async def ask(self, new: Instruction) -> Instruction:
        """Begins a payment that the customer has to confirm. Returns the payment when its terms are known, or after
        some seconds at the latest.
        """
        found = await asyncio.to_thread(self._instructions.add, new)
        if found.state == "NEW":
            self._start(found.reference, self._ask_terms(found.reference))
        return await self._patiently(found.reference, PATIENCE_S)

    async def confirm(self, reference: str) -> Instruction:
        """Makes the payment with the terms that the payee's DFSP has offered. Raises Overdrawn and changes nothing if
        the balance is too low."""
        found = await self.get(reference)
        if found is None or found.state != "OFFERED":  # a second click, or a form without terms
            return await self._patiently(reference, PATIENCE_S)
        await asyncio.to_thread(self._instructions.send, reference)
        self._start(reference, self._drive(reference))
        return await self._patiently(reference, PATIENCE_S)

    async def decline(self, reference: str) -> Instruction:
        """Ends a payment that the customer does not want. Does nothing if the customer has confirmed the payment."""
        ended = await asyncio.to_thread(self._instructions.refused, reference, CANCELLED, "")
        # If this request is lost, the terms at the connector expire by themselves.
        if ended.state == "FAILED" and ended.error_code == CANCELLED and not self._own.is_for(ended):
            await self._calls.call("POST", f"/payments/{reference}/cancel")
        return ended

    async def pay(self, new: Instruction) -> Instruction:
        """Makes a payment that the customer does not have to confirm. Returns the payment after the connector's first
        answer, perhaps before the payment has ended.

        Raises Overdrawn if the balance is too low, and AboveThePayment if a refund is too high. Raises Conflict if the
        reference already has different content.
        """
        found = await asyncio.to_thread(self._instructions.add_and_send, new)
        if not found.is_ended and not await self._attempt_or_log(found):
            self._start(new.reference, self._drive(new.reference))
        return await self.get(new.reference) or found

    # --- in the background --------------------------------------------------------------------------------------------

    def _start(self, reference: str, work: Awaitable[None]) -> None:
        if reference in self._tasks:
            work.close()  # type: ignore[attr-defined]
            return
        task = asyncio.ensure_future(self._logged(reference, work))
        self._tasks[reference] = task
        task.add_done_callback(lambda _: self._tasks.pop(reference, None))

    async def _logged(self, reference: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # the books have the latest step, and after a restart the bank continues from this step
            log.exception("payment_stopped", reference=reference)

    async def _patiently(self, reference: str, seconds: float) -> Instruction:
        task = self._tasks.get(reference)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)
        found = await self.get(reference)
        assert found is not None
        return found

    async def _ask_terms(self, reference: str) -> None:
        """Repeats the request for the terms of a payment until the terms are known or refused. The bank holds no money
        for the payment yet, so the bank can stop these requests without risk.
        """
        await self._repeat(reference, "NEW", self._ask_once)

    async def _ask_once(self, found: Instruction) -> bool:
        """Requests the terms once. Returns whether the request for terms has ended."""
        is_over = time.time() > found.created_at + _TERMS_WITHIN_S
        try:
            if await self._request_terms(found):
                return True
        except Exception:
            if not is_over:
                raise
            log.exception("terms_not_known", reference=found.reference)
        if is_over:
            await asyncio.to_thread(self._instructions.refused, found.reference, NO_TERMS, "")
        return is_over

    async def _request_terms(self, found: Instruction) -> bool:
        """Returns whether the terms are known or refused."""
        if self._own.is_for(found):
            await asyncio.to_thread(self._own.offer, found)
            return True
        status, said = await self._calls.call("POST", "/payments", self._body(found))
        await self._note_party(found.reference, said)
        if status == 200 and said.get("waitsFor") == "TERMS":
            await asyncio.to_thread(self._instructions.offer, found.reference, terms_of(found, said))
            return True
        if status != 200 and not is_refusal(status) and status != 409:
            return False
        code, text = (said["errorCode"], said["errorDescription"]) if status == 200 else (code_of(said), text_of(said))
        await asyncio.to_thread(self._instructions.refused, found.reference, code or NO_TERMS, text or "")
        return True

    async def _drive(self, reference: str) -> None:
        """Sends a payment whose money is held. Repeats the request until the connector reports the end of the
        payment."""
        await self._repeat(reference, "SENT", self._attempt)

    async def _repeat(
        self, reference: str, state: str, step: Callable[[Instruction], Coroutine[Any, Any, bool]]
    ) -> None:
        """Repeats a step while the payment has this state, until the step returns True.

        If an unexpected error occurs, such as a full disk or an odd response, the bank logs the error and repeats the
        step. After Conflict, the bank does not repeat the step, because people must examine the payment.
        """
        pause, longest = 0.5, _LONGEST_PAUSE_S
        while True:
            try:
                found = await self.get(reference)
                if found is None or found.state != state or await step(found):
                    return
                longest = _LONGEST_PAUSE_S if self._code_for(found) is None else _LONGEST_PAUSE_FOR_A_CODE_S
            except Conflict:
                raise
            except Exception:
                log.exception("payment_step_failed", reference=reference)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _attempt_or_log(self, found: Instruction) -> bool:
        """Makes one attempt to send a payment. After an unexpected error, returns False, and the payment continues in
        the background. Raises Conflict in the same cases as `_attempt`.
        """
        try:
            return await self._attempt(found)
        except Conflict:
            raise
        except Exception:
            log.exception("payment_step_failed", reference=found.reference)
            return False

    async def _attempt(self, found: Instruction) -> bool:
        """Makes one attempt to send a payment. Returns whether the payment has ended.

        Raises Conflict if the connector has a different payment under this reference. After a Conflict, the payment's
        money stays held until people have examined the payment.
        """
        if self._own.is_for(found):
            return await asyncio.to_thread(self._own.attempt, found)
        status, said = await self._send(found)
        if status == 409 and not found.asks_first:
            raise Conflict(f"{found.reference} is another payment at the connector")
        return await self._is_ended(found, status, said)

    async def _send(self, found: Instruction) -> Answer:
        """Sends the connector the request for the next step of a payment. Returns the connector's answer.

        The bank first reads the state of the payment. In one state, the customer's confirmation means that the customer
        accepts the terms. In another state, the confirmation means that the one-time code is right. The bank can repeat
        a confirmation after a lost response or a restart. If the bank did not read the state first, such a repetition
        could confirm a one-time code that the bank has not compared.
        """
        if not found.asks_first:
            return await self._calls.call("POST", "/payments", self._body(found))
        status, said = await self._calls.payment(found.reference)
        if status == 200 and said.get("waitsFor") == "TERMS":
            status, said = await self._calls.call("POST", f"/payments/{found.reference}/confirm")
        if status == 200 and said.get("waitsFor") == "OTP":
            return await self._answer_code(found, said.get("otp"))
        return status, said

    async def _answer_code(self, found: Instruction, entered: object) -> Answer:
        """Confirms a payment if the entered one-time code is correct. Otherwise cancels the payment."""
        code = self._code_for(found)
        if code is None or entered != code:
            await asyncio.to_thread(self.reject_request, found.request_id or "")
            return await self._calls.call("POST", f"/payments/{found.reference}/cancel")
        confirm = f"/payments/{found.reference}/confirm"
        answer = await self._calls.call("POST", confirm, {"otp": code})
        if answer[0] == 400:  # an earlier version of the connector accepts only a confirmation without a body
            answer = await self._calls.call("POST", confirm)
        return answer

    def _code_for(self, found: Instruction) -> str | None:
        return None if found.request_id is None else self.code_of(found.request_id)

    async def _is_ended(self, found: Instruction, sent_status: int, sent: dict[str, Any]) -> bool:
        reference = found.reference
        status, said = await self._calls.payment(reference)
        if status == 200 and said["isEnded"]:
            await self._note_party(reference, said)
            if said["state"] == "COMMITTED":
                moved, received = _amounts_of(found, said)
                await asyncio.to_thread(self._instructions.paid, reference, said["transferId"], moved, received)
            else:
                code, text = said["errorCode"] or NO_TERMS, said["errorDescription"] or ""
                if code == CANCELLED:  # only a wrong one-time code cancels a confirmed payment
                    code = WRONG_CODE
                await asyncio.to_thread(self._instructions.failed, reference, said["transferId"], code, text)
            return True
        if is_refusal(sent_status) and await self._calls.was_never_begun(reference):
            await asyncio.to_thread(self._instructions.failed, reference, None, code_of(sent), text_of(sent))
            return True
        return False

    async def _note_party(self, reference: str, said: dict[str, Any]) -> None:
        await asyncio.to_thread(self._instructions.note_party, reference, said.get("payeeName"), said.get("payeeFsp"))

    def _body(self, found: Instruction) -> dict[str, Any]:
        """Returns the body of POST /payments. Equal instructions have equal bodies."""
        scenario, sub_scenario = _KINDS[found.kind]
        payer = self._customers.get(found.payer)
        assert payer is not None
        body: dict[str, Any] = {
            "homeTransactionId": found.reference,
            "from": _party(payer),
            "to": {"idType": found.payee_type, "idValue": found.payee},
            "amount": format_amount(found.amount),
            "currency": found.currency,
            "note": found.note or None,
            "mayConvert": True,
        }
        if found.kind != "transfer" or found.request_id is not None:
            asker = "AGENT" if found.kind == "cash_out" else "BUSINESS" if found.kind == "merchant" else "CONSUMER"
            body |= {
                "transactionType": scenario,
                "initiator": "PAYEE" if found.request_id else "PAYER",
                "initiatorType": asker if found.request_id else payer.initiator,
            }
        if sub_scenario:
            body["subScenario"] = sub_scenario
        if found.asks_first:
            body["confirm"] = False
        if found.request_id is not None:
            body |= {"transactionRequestId": found.request_id, "otp": self._code_for(found) is not None}
        if found.refund_of is not None:
            original = self._instructions.books.row(
                "SELECT transaction_id FROM arrival WHERE transfer_id = ?", found.refund_of
            )
            assert original is not None
            body["refundInfo"] = {"originalTransactionId": original[0], "refundReason": found.note or "refund"}
        return body


def terms_of(found: Instruction, said: dict[str, Any]) -> dict[str, Any]:
    """Returns the terms of a payment that waits for confirmation. The keys are the names of an instruction's
    columns."""
    moved, (receive_amount, receive_currency) = _amounts_of(found, said)
    return {
        "transfer_id": said["transferId"],
        "total": moved + found.bank_fee,
        "payee_fee": parse_amount(said["payeeFspFeeAmount"] or "0"),
        "receive_amount": receive_amount,
        "receive_currency": receive_currency,
        "expires_at": datetime.fromisoformat(said["expirationDate"]).timestamp(),
    }


def _amounts_of(found: Instruction, said: dict[str, Any]) -> tuple[int, tuple[int, str]]:
    """Returns the amount that leaves the payer's account without the fee of the payer's bank, and the amount that the
    payee receives, with its currency."""
    received = parse_amount(said.get("payeeReceiveAmount") or said["transferAmount"])
    conversion = said.get("conversion")
    if conversion is None:
        return parse_amount(said["transferAmount"]), (received, said.get("currency") or found.currency)
    if conversion["sourceCurrency"] != found.currency:
        raise ValueError(f"{found.reference}: the conversion is from another currency")
    return parse_amount(conversion["sourceAmount"]), (received, conversion["targetCurrency"])


def _party(customer: Customer) -> dict[str, str]:
    return {"idType": "MSISDN", "idValue": customer.msisdn, "displayName": customer.name}
