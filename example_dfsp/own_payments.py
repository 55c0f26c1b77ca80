"""Payments between two customers of this bank, without the scheme: the hub refuses a DFSP that pays itself."""

import time
import uuid

from example_dfsp.arrivals import Arrival, Arrivals
from example_dfsp.customers import LIMIT, Customer, Customers
from example_dfsp.fees import shop_fee
from example_dfsp.instructions import Instruction, Instructions
from example_dfsp.requests_to_pay import RequestsToPay

_NAMESPACE = uuid.UUID("0f6f4a6e-58f1-4b7b-9a6a-5a1c7f0f1c52")
_TERMS_ARE_VALID_S, _CODE_WITHIN_S = 600.0, 120.0
_SCENARIOS = {
    "merchant": ("PAYMENT", None),
    "refund": ("REFUND", None),
    "cash_in": ("DEPOSIT", None),
    "cash_out": ("WITHDRAWAL", None),
    "salary": ("TRANSFER", "SALARY"),
    "benefit": ("TRANSFER", "BENEFIT"),
}


class OwnPayments:
    """Offers, makes and refuses payments between two customers of this bank."""

    def __init__(
        self,
        name: str,
        customers: Customers,
        instructions: Instructions,
        arrivals: Arrivals,
        requests: RequestsToPay,
    ) -> None:
        self._name, self._customers, self._instructions = name, customers, instructions
        self._arrivals, self._requests = arrivals, requests

    def is_for(self, found: Instruction) -> bool:
        """Returns whether the payee is a customer of this bank."""
        return self._customers.of_alias(found.payee_type, found.payee) is not None

    def offer(self, found: Instruction) -> None:
        """Records the terms of a payment, or the reason why the payee's account refuses the payment."""
        payee = self._payee(found)
        refusal = self._refusal(found, payee)
        if refusal is not None:
            self._instructions.refused(found.reference, *refusal)
            return
        fee = self._payee_fee(found, payee)
        self._instructions.note_party(found.reference, payee.name, self._name)
        self._instructions.offer(
            found.reference,
            {
                "total": found.amount + found.bank_fee,
                "payee_fee": fee,
                "receive_amount": found.amount - fee,
                "receive_currency": payee.currency,
                "expires_at": time.time() + _TERMS_ARE_VALID_S,
            },
        )

    def attempt(self, found: Instruction) -> bool:
        """Makes a payment whose money is held.

        Returns whether the payment has ended. While the one-time code is missing, the payment has not ended.
        """
        payee = self._payee(found)
        refusal = self._refusal(found, payee) or self._refusal_of_code(found)
        if refusal is not None:
            if refusal[0]:
                self._instructions.failed(found.reference, None, *refusal)
                if found.request_id is not None:
                    self._requests.reject(found.request_id)
            return bool(refusal[0])
        with self._instructions.books.transaction():
            arrival = self._arrival(found, payee)
            self._instructions.note_party(found.reference, payee.name, self._name)
            self._arrivals.credit_own(arrival, found.reference, found.bank_fee)
            self._instructions.paid_here(found.reference, arrival.transfer_id)
            if found.request_id is not None:
                self._requests.paid(found.request_id, arrival.transfer_id)
        return True

    def _refusal(self, found: Instruction, payee: Customer) -> tuple[str, str] | None:
        """Returns an error code and a text if the payee's account refuses the payment, and otherwise None.

        The bank returns the same errors for payments from other banks.
        """
        if payee.currency != found.currency:
            return "5106", f"the customer's account is in {payee.currency}"
        if payee.manner == "limit" and found.amount > LIMIT:
            return "5200", "the amount exceeds this account's limit"
        if payee.manner in ("rejects", "silent"):
            return "5104", "this account accepts no payments"
        return None

    def _refusal_of_code(self, found: Instruction) -> tuple[str, str] | None:
        """Returns an error code and a text if the one-time code is wrong or late. Returns ("", "") if nobody has
        entered the code yet.
        """
        wanted = self._requests.code_of(found.request_id) if found.request_id is not None else None
        if wanted is None:
            return None
        made = self._requests.made(found.request_id or "")
        entered = None if made is None else made.entered_code
        if entered == wanted:
            return None
        is_late = time.time() > (found.created_at + _TERMS_ARE_VALID_S + _CODE_WITHIN_S)
        return ("4101", "the one-time code is wrong or late") if entered is not None or is_late else ("", "")

    def _arrival(self, found: Instruction, payee: Customer) -> Arrival:
        payer = self._customers.get(found.payer)
        assert payer is not None
        scenario, sub_scenario = _SCENARIOS.get(found.kind, ("TRANSFER", None))
        transfer_id = str(uuid.uuid5(_NAMESPACE, found.reference))
        return Arrival(
            transfer_id=transfer_id,
            payee=payee.msisdn,
            payer_type="MSISDN",
            payer=payer.msisdn,
            payer_name=payer.name,
            payer_fsp=self._name,
            amount=found.amount,
            fee=self._payee_fee(found, payee),
            currency=found.currency,
            note=found.note,
            scenario=scenario,
            sub_scenario=sub_scenario,
            transaction_id=transfer_id,
            refund_of=found.refund_of,
            home_request_id=found.request_id,
        )

    def _payee_fee(self, found: Instruction, payee: Customer) -> int:
        return shop_fee(found.amount) if found.kind == "merchant" and payee.kind == "shop" else 0

    def _payee(self, found: Instruction) -> Customer:
        payee = self._customers.of_alias(found.payee_type, found.payee)
        assert payee is not None
        return payee
