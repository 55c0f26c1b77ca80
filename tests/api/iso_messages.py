"""Right ISO 20022 messages as connectors send them: green pays blue, and fxp converts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fspiop import base64url, correlation_ids
from fspiop.iso20022 import ilp4
from tests.api.caller import dfsp
from tests.api.messages import moment
from tests.keys import CONDITION, FULFILMENT

PACKET = ilp4.encode_prepare(
    ilp4.IlpPrepare(
        amount=10000,
        expires_at=datetime.now(UTC) + timedelta(minutes=10),
        condition=base64url.decode(CONDITION),
        destination="g.mojaloop",
        data=b"eyJxdW90ZUlkIjoiMDFNODVBU0tDMFE4NlcxQUREREpKNDlFNDNOIn0",
    )
)


def iso(method: str, path: str, body: Any = None, **more: Any) -> Any:
    """One request in the ISO 20022 form."""
    resource = path.strip("/").split("/")[0].split("?")[0]
    media_type = f"application/vnd.interoperability.iso20022.{resource}+json"
    headers = {"content-type": f"{media_type};version=2.0"}
    if method in ("GET", "POST"):
        headers["accept"] = f"{media_type};version=2"
    return dfsp(method, path, body, headers=headers | more.pop("headers", {}), **more)


def agent(fsp: str) -> dict[str, Any]:
    return {"FinInstnId": {"Othr": {"Id": fsp}}}


def customer(identifier: str, name: str) -> dict[str, Any]:
    return {"Id": {"PrvtId": {"Othr": {"SchmeNm": {"Prtry": "MSISDN"}, "Id": identifier}}}, "Nm": name}


def settled(amount: str, currency: str = "TZS") -> dict[str, str]:
    return {"Ccy": currency, "ActiveCurrencyAndAmount": amount}


def instructed(amount: str, currency: str = "TZS") -> dict[str, str]:
    return {"Ccy": currency, "ActiveOrHistoricCurrencyAndAmount": amount}


def header(**more: Any) -> dict[str, Any]:
    return {"MsgId": correlation_ids.new_ulid(), "CreDtTm": moment(0)} | more


def payment_header(seconds: float = 60) -> dict[str, Any]:
    return header(NbOfTxs="1", SttlmInf={"SttlmMtd": "CLRG"}, PmtInstrXpryDtTm=moment(seconds))


def party(identifier: str, fsp: str = "blue", to: str = "green") -> dict[str, Any]:
    found = {"Pty": customer(identifier, "Party;Of;blue;Party"), "Agt": agent(fsp), "Acct": {"Ccy": "TZS"}}
    return {
        "Assgnmt": header(Assgnr={"Agt": agent(fsp)}, Assgne={"Agt": agent(to)}),
        "Rpt": {"Vrfctn": True, "OrgnlId": correlation_ids.new_ulid(), "UpdtdPtyAndAcctId": found},
    }


def no_party(code: str = "3204") -> dict[str, Any]:
    return {
        "Assgnmt": header(Assgnr={"Agt": agent("blue")}, Assgne={"Agt": agent("green")}),
        "Rpt": {"Vrfctn": False, "OrgnlId": correlation_ids.new_ulid(), "Rsn": {"Cd": code}},
    }


def _sides() -> dict[str, Any]:
    return {
        "Cdtr": customer("255655001001", "Party;Of;blue;"),
        "CdtrAgt": agent("blue"),
        "Dbtr": customer("255712001001", ";;;Payer One"),
        "DbtrAgt": agent("green"),
        "ChrgBr": "CRED",
    }


def quote(amount: str = "100", currency: str = "TZS", **ids_: str) -> dict[str, Any]:
    payment_id = {"TxId": correlation_ids.new_ulid(), "EndToEndId": correlation_ids.new_ulid()} | ids_
    more = {"PmtId": payment_id, "IntrBkSttlmAmt": settled(amount, currency), "Purp": {"Prtry": "TRANSFER"}}
    return {"GrpHdr": payment_header(), "CdtTrfTxInf": _sides() | more}


def terms(asked: dict[str, Any]) -> dict[str, Any]:
    """The payee's answer to a quote."""
    proposal = asked["CdtTrfTxInf"]
    amount, currency = proposal["IntrBkSttlmAmt"]["ActiveCurrencyAndAmount"], proposal["IntrBkSttlmAmt"]["Ccy"]
    more = {
        "PmtId": {"TxId": proposal["PmtId"]["TxId"]},
        "IntrBkSttlmAmt": settled(amount, currency),
        "InstdAmt": instructed(amount, currency),
        "ChrgsInf": {"Amt": instructed("0", currency), "Agt": agent("blue")},
        "VrfctnOfTerms": {"IlpV4PrepPacket": PACKET},
    }
    return {"GrpHdr": payment_header(600), "CdtTrfTxInf": _sides() | more}


def transfer(
    amount: str = "100", currency: str = "TZS", *, transfer_id: str | None = None, seconds: float = 60
) -> dict[str, Any]:
    more = {
        "PmtId": {"TxId": transfer_id or correlation_ids.new_ulid()},
        "IntrBkSttlmAmt": settled(amount, currency),
        "VrfctnOfTerms": {"IlpV4PrepPacket": PACKET},
    }
    return {"GrpHdr": payment_header(seconds), "CdtTrfTxInf": _sides() | more}


def id_of(message: dict[str, Any]) -> str:
    found: str = message["CdtTrfTxInf"]["PmtId"]["TxId"]
    return found


def fulfilment(status: str = "COMM", **changes: Any) -> dict[str, Any]:
    done = {"ExctnConf": FULFILMENT, "PrcgDt": {"DtTm": moment(0)}, "TxSts": status}
    return {"GrpHdr": header(), "TxInfAndSts": done | changes}


def error(code: str = "5104", text: str = "no") -> dict[str, Any]:
    return {"GrpHdr": header(), "TxInfAndSts": {"StsRsnInf": {"Rsn": {"Prtry": code}, "AddtlInf": text}}}


def _conversion(source: str, target: str) -> dict[str, Any]:
    return {
        "Dbtr": agent("green"),
        "Cdtr": agent("fxp"),
        "UndrlygCstmrCdtTrf": {
            "Dbtr": {"Id": {"OrgId": {"Othr": {"Id": "green"}}}},
            "DbtrAgt": agent("green"),
            "Cdtr": {"Id": {"OrgId": {"Othr": {"Id": "fxp"}}}},
            "CdtrAgt": agent("fxp"),
            "InstdAmt": instructed(source),
        },
        "IntrBkSttlmAmt": settled(target, "KES"),
    }


def fx_quote() -> dict[str, Any]:
    payment_id = {
        "TxId": correlation_ids.new_ulid(),
        "InstrId": correlation_ids.new_ulid(),
        "EndToEndId": correlation_ids.new_ulid(),
    }
    more = {"PmtId": payment_id, "InstrForCdtrAgt": {"InstrInf": "SEND"}}
    return {"GrpHdr": payment_header(), "CdtTrfTxInf": _conversion("100", "0") | more}


def fx_terms(asked: dict[str, Any]) -> dict[str, Any]:
    more = {"IntrBkSttlmAmt": settled("5", "KES"), "VrfctnOfTerms": {"Sh256Sgntr": CONDITION}}
    return asked | {"CdtTrfTxInf": asked["CdtTrfTxInf"] | more}


def fx_transfer(
    *, commit_request_id: str | None = None, determining: str | None = None, seconds: float = 60
) -> dict[str, Any]:
    payment_id = {
        "TxId": commit_request_id or correlation_ids.new_ulid(),
        "EndToEndId": determining or correlation_ids.new_ulid(),
    }
    more = {"PmtId": payment_id, "VrfctnOfTerms": {"Sh256Sgntr": CONDITION}}
    return {"GrpHdr": payment_header(seconds), "CdtTrfTxInf": _conversion("100", "5") | more}
