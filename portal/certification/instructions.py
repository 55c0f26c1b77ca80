"""The instructions to a person at the DFSP, in sentences."""

from typing import Any


def in_words(what: str, values: dict[str, Any]) -> str:
    """Returns an instruction of `Run.instruct` as a sentence for the command's output."""
    money = f"{values['amount']} {values['currency']}"
    if what == "bulk":
        return f"Pay a bulk now. Each item: {money} to MSISDN/{values['to']}."
    payer, payee = _party(values["from"]), _party(values["to"])
    if what == "requests":
        return f"Request {money} from {payer} now, as {payee}."
    if what == "again":
        return (
            f"Give the order of {money} to {payee} again within {values['seconds']} seconds, with the same reference,"
            " as after a lost response."
        )
    if what == "outcome":
        return f"Report which state the DFSP shows for the payment of {money} to {payee}."
    if "refundInfo" in values:
        original = values["refundInfo"]["originalTransactionId"]
        return f"Refund the transaction {original} now: {money} to {payee}, as {payer}."
    return f"Pay {money} to {payee} now, as {payer}."


def _party(party: dict[str, str]) -> str:
    return f"{party['idType']}/{party['idValue']}"
