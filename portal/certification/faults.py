"""The faults that a case can find. Each fault explains the error, and the change that the DFSP must make.

A stored fault has a code and values.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the DFSP. `values` has the values for the placeholders in the fault's texts."""

    code: str
    values: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "values": self.values}


def fault(code: str, /, **values: Any) -> Fault:
    assert code in TEXTS, code
    return Fault(code, values)


class NotJudged(Exception):
    """Raised if the case cannot be judged, for example because of a fault that another case reports."""

    def __init__(self, code: str, /, **values: Any) -> None:
        super().__init__(code)
        self.fault = fault(code, **values)


def texts(stored: dict[str, Any]) -> tuple[str, str]:
    """For a stored fault, returns the error and the change that the DFSP must make. If an earlier version of the hub
    stored the fault, it is possible that this version does not know the fault's code."""
    found = TEXTS.get(stored["code"])
    if found is None:
        return str(stored["code"]), ""
    wrong, mend = found
    return str(wrong) % stored["values"], str(mend) % stored["values"]


TEXTS: dict[str, tuple[Promise, Promise]] = {
    "no_answer": (
        _("No answer to %(asked)s came within %(seconds)s seconds."),
        _("Accept the request with 202, and then send the callback to the hub, even if the answer is an error."),
    ),
    "refused_by_hub": (
        _("The hub refused %(message)s with error %(code)s: %(text)s"),
        _("Send the message in the form of the FSPIOP API. The text of the error names the faulty element."),
    ),
    "not_accepted": (
        _("The DFSP's endpoint answered %(message)s with %(answer)s."),
        _("Accept a correct request with 202, and a correct callback with 200."),
    ),
    "known_as_unknown": (
        _("The DFSP reports error %(code)s for its own test customer."),
        _("Open an account in the test currency for this customer, or start the test with another customer."),
    ),
    "unknown_as_known": (
        _("The DFSP reports a party for an identifier that nobody has."),
        _("Answer with PUT /parties/{Type}/{ID}/error and code 3204."),
    ),
    "wrong_code": (
        _("The error has code %(code)s. Expected: %(expected)s."),
        _("Use the code of the FSPIOP API for this error, so that the payer learns the correct reason."),
    ),
    "wrong_fsp": (
        _("The party has fspId %(found)s instead of %(expected)s."),
        _("Put the DFSP's own participant name into partyIdInfo.fspId."),
    ),
    "forbidden_name": (
        _("%(field)s is %(value)s. The API does not allow these characters in a name."),
        _("Use only letters, digits, spaces and . , ' - in the parts of a name. Replace other characters."),
    ),
    "terms_refused": (
        _("The DFSP refused to give terms: error %(code)s, %(text)s"),
        _("Offer terms for a payment of %(amount)s to the test customer."),
    ),
    "wrong_amount": (
        _("%(field)s is %(found)s. Expected: %(expected)s."),
        _(
            "Calculate the terms again: transferAmount is payeeReceiveAmount plus payeeFspFee minus payeeFspCommission,"
            " and the packet has transferAmount in the smallest unit of the currency."
        ),
    ),
    "wrong_packet": (
        _("The ILP packet cannot be read: %(why)s"),
        _("Write the packet in the form of the FSPIOP API, section 4.5."),
    ),
    "terms_expired": (
        _("The terms expired at %(expiration)s, before they arrived."),
        _("Set the clock of the DFSP, and offer terms that are valid for at least some seconds."),
    ),
    "transfer_refused": (
        _("The DFSP refused the transfer with error %(code)s: %(text)s"),
        _("Accept a transfer that has exactly the agreed terms."),
    ),
    "wrong_fulfilment": (
        _("The SHA-256 of the fulfilment is not the condition. The hub aborted the transfer."),
        _("Answer with the fulfilment that belongs to the condition in the terms."),
    ),
    "not_committed": (
        _("The transfer is %(state)s at the hub. Expected: COMMITTED."),
        _("Answer before the expiration, with transferState RESERVED or COMMITTED."),
    ),
    "request_refused": (
        _("The DFSP refused the request to pay with error %(code)s: %(text)s"),
        _("Accept a request to pay for the test customer with PUT /transactionRequests/{ID} and the state RECEIVED."),
    ),
    "accepted_unknown": (
        _("The DFSP offered terms for a payment to a customer whom it does not have."),
        _("Answer with PUT /quotes/{ID}/error if the payee is unknown or cannot be paid."),
    ),
    "fulfilled_late": (
        _("The DFSP fulfilled a transfer that had expired %(seconds)s seconds before its arrival."),
        _("Before the answer, compare the expiration with the clock. Refuse or ignore an expired transfer."),
    ),
    "duplicate_unanswered": (
        _("The same POST /transfers arrived a second time, and no answer came within %(seconds)s seconds."),
        _("Send the stored answer again if a request is repeated, even after the end of the transfer."),
    ),
    "duplicate_changed": (
        _("The second answer differs from the first: %(field)s."),
        _("Store the answer, and send exactly this answer again if a request is repeated."),
    ),
    "changed_accepted": (
        _("The DFSP accepted a transfer with a used id and another amount."),
        _("Compare a repeated request with the stored request. Refuse different content with error 3106."),
    ),
    "bad_signature_accepted": (
        _("The DFSP accepted %(message)s although the message's signature is wrong."),
        _("Verify FSPIOP-Signature before anything else, and refuse a wrong signature with 400 and error 3105."),
    ),
    "not_refused": (
        _("The DFSP's endpoint answered %(message)s with %(answer)s. Expected: a refusal with error %(expected)s."),
        _("Refuse this message with 400 and error %(expected)s."),
    ),
    "state_unknown": (
        _("The DFSP does not report the state of the transaction: %(answer)s"),
        _(
            "Answer GET /transactions/{ID} with PUT /transactions/{ID}: RECEIVED or PENDING before the credit, then"
            " COMPLETED."
        ),
    ),
    "credited_early": (
        _("The DFSP reports the transaction as COMPLETED before the hub sent the outcome."),
        _("Credit the customer only after PATCH /transfers/{ID} with COMMITTED. Until then, only reserve the credit."),
    ),
    "not_credited": (
        _("The DFSP reports the transaction as %(state)s after PATCH with COMMITTED. Expected: COMPLETED."),
        _("Credit the customer after PATCH /transfers/{ID} with COMMITTED."),
    ),
    "bulk_refused": (
        _("The DFSP refused the bulk: error %(code)s, %(text)s"),
        _("Answer a bulk with a result for each of its items."),
    ),
    "bulk_item": (
        _("Item %(number)s of the bulk has no valid result: %(why)s"),
        _("Give each item its own terms, and its own fulfilment or error."),
    ),
    "no_request_from_dfsp": (
        _("The DFSP did not send %(asked)s within %(seconds)s seconds."),
        _("Make the payment as the case describes. Check the order in the DFSP's own system."),
    ),
    "order_refused": (
        _("The DFSP's outbound API answered the order with %(answer)s."),
        _("Check the URL of the outbound API, and that the test customer can pay in the test currency."),
    ),
    "paid_in_spite": (
        _("The DFSP sent %(message)s although %(why)s."),
        _("End the payment when an error arrives, and release the customer's money."),
    ),
    "outcome_differs": (
        _("The DFSP shows the payment as %(found)s. At the hub, it is %(expected)s."),
        _("Take the outcome of a payment only from the hub."),
    ),
    "second_debit": (
        _("The DFSP made %(count)s transfers for one order: %(ids)s"),
        _("Use the order's own id to find the payment, and repeat the same transfer id, never a new one."),
    ),
    "wrong_terms_paid": (
        _("The transfer has %(field)s %(found)s. The terms have %(expected)s."),
        _("Send the amount, the packet and the condition of the terms unchanged."),
    ),
    "wrong_reference": (
        _("%(field)s is %(found)s. Expected: %(expected)s."),
        _("Copy the id of the request or the payment that the message is about."),
    ),
    "unsigned": (
        _("%(message)s has no FSPIOP-Signature."),
        _("Sign each POST and PUT with the DFSP's registered key."),
    ),
    "signature_refused": (
        _("The hub refused the signature of %(message)s: %(text)s"),
        _("Sign the bytes of the body that is sent, with the registered key, and protect the headers of the request."),
    ),
    "wrong_source": (
        _("%(message)s has FSPIOP-Source %(found)s instead of %(expected)s."),
        _("Put the DFSP's own participant name into FSPIOP-Source of every message."),
    ),
    "error_not_accepted": (
        _("The DFSP's endpoint answered %(message)s with: %(answer)s"),
        _("Accept every error callback with 200, even if the DFSP no longer knows the id."),
    ),
    "no_errors_sent": (
        _("No error callback was delivered to the DFSP during the test."),
        _("Check the DFSP's endpoint, and start the test again."),
    ),
    # --- why a case was not judged ---
    "hidden_by_signature": (
        _("The hub refused %(message)s because of its signature."),
        _("See the case about signatures."),
    ),
    "hidden_by_source": (
        _("The hub refused %(message)s because of its FSPIOP-Source."),
        _("See the case about the sender's name."),
    ),
    "step_failed": (
        _("An earlier step did not succeed: %(what)s."),
        _("See the case that tests this step."),
    ),
    "answers_committed": (
        _("The DFSP answers with COMMITTED, so the hub sends no PATCH."),
        _("Nothing to change. The case is only for DFSPs that answer RESERVED."),
    ),
    "hub_did_not_take": (
        _("The hub did not accept the certifier's %(message)s: %(answer)s"),
        _("Check the set-up of the certifier at the hub, and start the test again."),
    ),
    "hub_away": (
        _("While the certifier waited for the DFSP, the hub's database was not available for %(seconds)s seconds."),
        _("Start the test again."),
    ),
    "state_not_seen": (
        _("Nobody reported which state the DFSP shows for the payment."),
        _("Start the test again. After the payment, answer the question on the page or in the command."),
    ),
    "too_many_messages": (
        _("The DFSP sent so many messages that the certifier ended the test."),
        _("Send each message once, and repeat a message only if no response arrives. Then start the test again."),
    ),
    "not_deliverable": (
        _("The DFSP's endpoint did not answer: %(answer)s"),
        _("Check the endpoint with the connection test, and start the test again."),
    ),
    "no_signatures": (
        _("This scheme does not use signatures."),
        _("Nothing to change."),
    ),
    "left_out": (
        _("The person who started the test left out this case."),
        _("Nothing to change."),
    ),
    "only_by_hand": (
        _("The DFSP's outbound API has no such order."),
        _(
            "Start the test with the URL of the outbound API for bulks, or without the URL of the outbound API to make"
            " this payment by hand."
        ),
    ),
    "certifier_failed": (
        _("The certifier failed: %(why)s"),
        _("Start the test again. If the test fails again, report the log of the worker."),
    ),
}
