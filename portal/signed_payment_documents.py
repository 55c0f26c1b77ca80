"""Makes the files of one payment: a JSON document and a PDF, both signed with the hub's key.

The JSON file is a JSON Web Signature in the flattened form of RFC 7515. The JSON file also has the same data in
readable form. The PDF contains this JSON file as an attachment. After the end of the PDF, the file has one line with a
signature of all bytes before this line. `manage.py check_payment_file` checks the signatures of both files.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from fspiop import base64url, jws, keys_and_certificates, money
from ledger.models import Transfer
from portal.amounts_and_durations import money as shown
from portal.queries.payment_outcome import Verdict
from portal.queries.transfer_history import Story
from portal.words import states

_MARK = b"\n%kitovu-signature "
_LINE_MM = 5.5
# These characters occur in the portal's texts, but not in the PDF's fonts.
_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "→": ">", "’": "'", "“": '"', "”": '"', "…": "...", "œ": "oe", "\u202f": " "}
)


@dataclass(frozen=True, slots=True)
class Signer:
    """The hub's signing key, or no key if this hub does not sign."""

    key: RSAPrivateKey | None

    @classmethod
    def of_hub(cls) -> "Signer":
        path = settings.HUB_SIGNING_KEY_FILE
        return cls(jws.load_private_key(Path(path).read_bytes()) if path else None)

    def sign(self, octets: bytes) -> dict[str, Any]:
        """Returns the members of a flattened JWS over these bytes. Returns no members if there is no key."""
        if self.key is None:
            return {}
        protected = base64url.encode(json.dumps({"alg": "RS256"}).encode())
        payload = base64url.encode(octets)
        signature = self.key.sign(f"{protected}.{payload}".encode("ascii"), PKCS1v15(), hashes.SHA256())
        key_id = hashlib.sha256(keys_and_certificates.public_pem(self.key.public_key()).encode()).hexdigest()
        return {
            "payload": payload,
            "protected": protected,
            "signature": base64url.encode(signature),
            "header": {"kid": key_id},
        }


def document(transfer: Transfer, story: Story, verdict: Verdict, *, by: str) -> dict[str, Any]:
    """Returns everything that the page of a payment shows, as the content of the JSON file."""
    return {
        "hub": settings.HUB_NAME,
        "exportedAt": datetime.now(UTC).isoformat(),
        "exportedBy": by,
        "transfer": _terms(transfer),
        "verdict": {"title": verdict.title, "sentences": verdict.sentences, "note": verdict.note},
        "customers": [
            {
                "side": "payer" if each.is_payer else "payee",
                "name": each.name,
                "idType": each.id_type,
                "identifier": each.identifier,
                "dfsp": each.dfsp,
            }
            for each in verdict.customers
        ],
        "steps": [{"text": each.text, "at": each.at.isoformat(), "seconds": each.seconds} for each in verdict.steps],
        "history": [
            {
                "at": each.at.isoformat(),
                "title": each.title,
                "detail": each.detail,
                "headers": each.headers,
                "message": each.raw,
            }
            for each in story.moments
        ],
        "postings": [
            {
                "entry": entry.pk,
                "at": entry.created_at.isoformat(),
                "debit": str(entry.debit_account),
                "credit": str(entry.credit_account),
                "amount": money.format_amount(entry.amount),
                "currency": entry.currency,
            }
            for entry in story.entries
        ],
        "settlements": [{"settlement": each.pk, "state": each.state} for each in story.settlements],
    }


def _terms(transfer: Transfer) -> dict[str, Any]:
    return {
        "transferId": transfer.transfer_id,
        "payer": transfer.payer.name,
        "payee": transfer.payee_name,
        "amount": money.format_amount(transfer.amount),
        "currency": transfer.currency,
        "state": transfer.state,
        "reason": transfer.reason,
        "errorCode": transfer.error_code,
        "errorDescription": transfer.error_description,
        "receivedAt": transfer.received_at.isoformat(),
        "expiresAt": transfer.expires_at.isoformat(),
        "completedAt": transfer.completed_at.isoformat() if transfer.completed_at else None,
        "condition": transfer.condition,
        "fulfilment": transfer.fulfilment,
    }


def json_file(content: dict[str, Any], signer: Signer) -> bytes:
    """Returns the JSON file that has this content. If there is no key, the file has only the readable form."""
    octets = json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    return json.dumps({"readable": content, **signer.sign(octets)}, indent=2, ensure_ascii=False).encode()


def text_for_the_bank(transfer: Transfer, verdict: Verdict) -> str:
    """Returns the facts of a payment as plain text, for a message to a DFSP."""
    lines = [
        verdict.title,
        *verdict.sentences,
        "",
        f"{_('Transfer')}: {transfer.transfer_id}",
        f"{_('Payer')}: {transfer.payer.name}",
        f"{_('Payee')}: {transfer.payee_name}",
        f"{_('Amount')}: {shown(transfer.amount, transfer.currency)} {transfer.currency}",
        f"{_('Arrived')}: {_moment(transfer.received_at)}",
        f"{_('Expires')}: {_moment(transfer.expires_at)}",
    ]
    if transfer.completed_at is not None:
        lines.append(f"{_('Ended')}: {_moment(transfer.completed_at)}")
    lines += [f"{label}: {text}" for label, text in _people(verdict)]
    lines += ["", *(f"{_moment(step.at)}  {step.text}: {step.took}" for step in verdict.steps)]
    return "\n".join(lines).strip()


def _people(verdict: Verdict) -> Iterable[tuple[str, str]]:
    for each in verdict.customers:
        label = _("Paying customer") if each.is_payer else _("Receiving customer")
        yield label, " ".join(filter(None, [each.name, each.id_type, each.identifier]))
    if verdict.note:
        yield _("Note"), verdict.note


def _moment(at: datetime) -> str:
    """Returns a time with the offset of its time zone, because the reader can be in another time zone."""
    return timezone.localtime(at).isoformat(sep=" ", timespec="milliseconds")


def pdf_file(transfer: Transfer, story: Story, verdict: Verdict, attachment: bytes, signer: Signer) -> bytes:
    """Returns the PDF of a payment, with the JSON file as an attachment."""
    pdf = FPDF(format="A4")
    pdf.set_title(transfer.transfer_id)
    pdf.set_auto_page_break(True, margin=15)
    pdf.add_page()
    _line(pdf, f"{settings.HUB_NAME} · {_('Payment')} {transfer.transfer_id}", size=9)
    _line(pdf, verdict.title, size=14, bold=True)
    for sentence in verdict.sentences:
        _line(pdf, sentence)
    _table(pdf, _("Terms"), _facts(transfer, verdict))
    _table(pdf, _("Steps"), [(step.took, f"{_moment(step.at)}  {step.text}") for step in verdict.steps])
    _table(pdf, _("History"), [(_moment(each.at), f"{each.title}. {each.detail}") for each in story.moments])
    _table(
        pdf,
        _("Postings"),
        [
            (
                str(entry.pk),
                f"{entry.debit_account} > {entry.credit_account}  {money.format_amount(entry.amount)} {entry.currency}",
            )
            for entry in story.entries
        ],
    )
    signed = _("The attached file payment.json has all messages, and the signature of the hub.")
    unsigned = _("This hub has no signing key, so this file is not signed.")
    _line(pdf, signed if signer.key is not None else unsigned, size=9)
    pdf.embed_file(bytes=attachment, basename="payment.json", desc="payment")
    octets = bytes(pdf.output())
    found = signer.sign(octets)
    if not found:
        return octets
    mark = {name: found[name] for name in ("protected", "signature", "header")}
    return octets + _MARK + json.dumps(mark).encode() + b"\n"


def _facts(transfer: Transfer, verdict: Verdict) -> list[tuple[str, str]]:
    return [
        (_("Payer"), transfer.payer.name),
        (_("Payee"), transfer.payee_name),
        (_("Amount"), f"{shown(transfer.amount, transfer.currency)} {transfer.currency}"),
        (_("State"), states.word_of(transfer.state)),
        (_("Arrived"), _moment(transfer.received_at)),
        (_("Expires"), _moment(transfer.expires_at)),
        *([(_("Ended"), _moment(transfer.completed_at))] if transfer.completed_at else []),
        *_people(verdict),
        (_("Condition"), transfer.condition),
        *([(_("Fulfilment"), transfer.fulfilment)] if transfer.fulfilment else []),
    ]


def _table(pdf: FPDF, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    pdf.ln(3)
    _line(pdf, title, size=11, bold=True)
    for label, text in rows:
        pdf.set_font("helvetica", size=9)
        pdf.cell(58, _LINE_MM, _printable(label))
        pdf.multi_cell(0, _LINE_MM, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _line(pdf: FPDF, text: str, *, size: int = 10, bold: bool = False) -> None:
    pdf.set_font("helvetica", style="B" if bold else "", size=size)
    pdf.multi_cell(0, _LINE_MM + size / 10, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _printable(text: str) -> str:
    """Returns the text with only the characters of the PDF's own fonts. The attached JSON file has every character."""
    return text.translate(_PLAIN).encode("latin-1", errors="replace").decode("latin-1")


class NotSigned(ValueError):
    """Raised if a file has no signature, or has a signature that does not match the file."""


def check(file: bytes, public_keys: Sequence[RSAPublicKey]) -> dict[str, Any] | None:
    """Checks that one of these keys signed this file. Returns the content of a JSON file, and None for a PDF.

    Raises NotSigned.
    """
    if file.startswith(b"%PDF"):
        octets, mark, line = file.rpartition(_MARK)
        if not mark:
            raise NotSigned("the PDF has no signature")
        found = _read(line)
        _check(found, base64url.encode(octets), public_keys)
        return None
    found = _read(file)
    payload = found.get("payload")
    if not isinstance(payload, str):
        raise NotSigned("the file has no signature")
    _check(found, payload, public_keys)
    content = _read(base64url.decode(payload))
    if found.get("readable") != content:
        raise NotSigned("the readable part differs from the signed part")
    return content


def _read(octets: bytes) -> dict[str, Any]:
    try:
        found = json.loads(octets)
    except ValueError:
        raise NotSigned("the file cannot be read") from None
    if not isinstance(found, dict):
        raise NotSigned("the file cannot be read")
    return found


def _check(found: dict[str, Any], payload: str, public_keys: Sequence[RSAPublicKey]) -> None:
    try:
        protected, signature = str(found["protected"]), base64url.decode(str(found["signature"]))
        if _read(base64url.decode(protected)) != {"alg": "RS256"}:
            raise NotSigned("the algorithm is not RS256")
    except (KeyError, ValueError) as error:
        raise NotSigned(f"the signature cannot be read: {error}") from None
    for key in public_keys:
        try:
            key.verify(signature, f"{protected}.{payload}".encode("ascii"), PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return
    raise NotSigned("no key of this hub has signed the file")
