"""Writes states and errors in ISO 20022, for the hub and for DFSPs. Most messages are pacs.002, and errors about
parties are acmt.024.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from fspiop import time
from fspiop.iso20022 import message_ids
from fspiop.iso20022.reading import STATES

_MOST_TEXT = 105  # Max105Text
_MOST_ID = 35  # Max35Text
_STATUS = {state: status for status, state in STATES.items()}


def write(body: Mapping[str, Any], *, path: str, date: datetime, source: str, destination: str) -> dict[str, Any]:
    """Converts a state or error of the FSPIOP API into an ISO 20022 message. The message is sent to `path`."""
    date = _not_before(date, body.get("completedTimestamp"))
    parts = path.split("/")
    message_id = message_ids.message_id(path, destination, body, date=date)
    heading = {"MsgId": message_id, "CreDtTm": time.format_datetime(date)}
    if "errorInformation" not in body:
        return {"GrpHdr": heading, "TxInfAndSts": _state(body)}
    code, text = body["errorInformation"]["errorCode"], body["errorInformation"]["errorDescription"]
    if parts[1] != "parties":
        return {"GrpHdr": heading, "TxInfAndSts": {"StsRsnInf": _reason(code, text)}}
    return {
        "Assgnmt": heading | {"Assgnr": _agent(source), "Assgne": _agent(destination)},
        "Rpt": {"OrgnlId": unquote(parts[-2])[:_MOST_ID], "Vrfctn": False, "Rsn": {"Cd": code}},
    }


def _not_before(date: datetime, reported: str | None) -> datetime:
    """Returns the later of two times: the time in the message's Date header, and the time in the message's body. A Date
    header has only whole seconds. So the time in the body can be later.
    """
    return date if reported is None else max(date, time.parse_datetime(reported))


def _state(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"TxSts": _STATUS[body.get("transferState") or body["conversionState"]]}
    if "completedTimestamp" in body:
        found["PrcgDt"] = {"DtTm": body["completedTimestamp"]}
    if "fulfilment" in body:
        found["ExctnConf"] = body["fulfilment"]
    if "extensionList" in body:
        # The hub itself writes only one extension: the reason of an abort. ISO 20022 has an element for this reason.
        (cause,) = body["extensionList"]["extension"]
        code, _, text = cause["value"].partition(": ")
        found["StsRsnInf"] = _reason(code, text)
    return found


def _reason(code: str, text: str) -> dict[str, Any]:
    return {"Rsn": {"Prtry": code}, "AddtlInf": text[:_MOST_TEXT]}


def _agent(fsp: str) -> dict[str, Any]:
    return {"Agt": {"FinInstnId": {"Othr": {"Id": fsp}}}}
