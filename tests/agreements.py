"""Lookups and quotes as commands, as they are behind the doorway."""

import hashlib
import json
import uuid
from dataclasses import replace
from typing import Any

from directory.aliases import Alias
from directory.lookup_commands import AnswerParty, AskParty
from fspiop.errors import ErrorCode
from hub.api.forwarding import subject_of
from hub.outbox.messages import ReceivedMessage, Recipient
from quotes.commands_and_facts import AgreementMessage, AskTerms, GiveTerms, State

HEADERS = {"content-type": "application/vnd.interoperability.quotes+json;version=1.1", "date": "now"}
NUMBER = "255655001001"


def message(sender: int, content: str, octets: int = 0) -> AgreementMessage:
    body = json.dumps({"content": content, "more": " " * octets}).encode()
    return AgreementMessage(body, dict(HEADERS), sender, hashlib.sha256(content.encode()).digest())


def ask_terms(
    ids: dict[str, int],
    payer: str = "green",
    payee: str | None = "blue",
    *,
    quote_id: str | None = None,
    content: str = "terms, please",
    currency: str = "TZS",
    octets: int = 0,
) -> AskTerms:
    return AskTerms(
        resource="quotes",
        agreement_id=quote_id or str(uuid.uuid4()),
        requester=Recipient(ids[payer], payer, "1.1"),
        message=message(ids[payer], content, octets),
        to=payee,
        named={},
        currencies=((currency,),),
        expires_at=None,
        columns={"transaction_id": str(uuid.uuid4())},
    )


def ask_bulk_terms(ids: dict[str, int], *, octets: int = 0) -> AskTerms:
    """POST /bulkQuotes of green to blue."""
    return replace(ask_terms(ids, octets=octets), resource="bulkQuotes", columns={})


def give_terms(
    ids: dict[str, int],
    quote_id: str,
    sender: str = "blue",
    *,
    content: str = "these terms",
    state: State = State.ACCEPTED,
) -> GiveTerms:
    columns: dict[str, Any] = {"condition": "c" * 43, "packet_sha256": b"p" * 32} if state is State.ACCEPTED else {}
    return GiveTerms(
        resource="quotes",
        agreement_id=quote_id,
        sender=Recipient(ids[sender], sender, "1.1"),
        message=message(ids[sender], content),
        state=state,
        not_found=ErrorCode.QUOTE_ID_NOT_FOUND,
        columns=columns,
    )


def path_to(number: str) -> str:
    return f"/parties/MSISDN/{number}"


def ask_party(ids: dict[str, int], asker: str = "green", *, number: str = NUMBER, to: str | None = None) -> AskParty:
    path = path_to(number)
    return AskParty(
        requester=Recipient(ids[asker], asker, "1.1"),
        alias=Alias("MSISDN", number),
        destination=to,
        owner=None,
        message=ReceivedMessage(b"", dict(HEADERS)),
        path=path,
        forwarded_path=path,
        subject=subject_of(f"{path} for {asker}"),
        refusal_subject=subject_of(path),
    )


def answer_party(
    ids: dict[str, int], answerer: str = "blue", *, to: str | None = "green", number: str = NUMBER
) -> AnswerParty:
    path = path_to(number)
    return AnswerParty(
        sender_id=ids[answerer],
        destination=to,
        message=ReceivedMessage(b'{"party": {}}', dict(HEADERS)),
        path=path,
        subject=subject_of(f"{path} for {to}"),
    )
