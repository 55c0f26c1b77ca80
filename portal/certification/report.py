"""The signed report of a certification: JSON in a JWS that is signed with the hub's key, and a PDF with the same
content."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.utils import timezone, translation

from fspiop import base64url, jws
from portal.certification.cases import BY_NAME
from portal.certification.faults import texts
from portal.certification.models import Certification, CertificationCase

_HEADER = {"alg": "RS256", "typ": "JWS", "cty": "application/json"}
Verdict = CertificationCase.Verdict
_GOOD = frozenset({Verdict.PASSED.value, Verdict.LEFT_OUT.value})


def finish(certification: Certification) -> None:
    """Judges all cases together, and stores the signed report. If the run has already ended, does nothing."""
    cases = list(certification.cases.all())
    is_passed = all(case.verdict in _GOOD for case in cases)
    state = Certification.State.PASSED if is_passed else Certification.State.FAILED
    now = timezone.now()
    text = json.dumps(_content(certification, cases, state, now), ensure_ascii=False, indent=2)
    running = Certification.objects.filter(pk=certification.pk, state=Certification.State.RUNNING)
    running.update(state=state, ended_at=now, report=text, signature=sign(text))
    certification.refresh_from_db()


def _content(certification: Certification, cases: list[CertificationCase], state: str, now: datetime) -> dict[str, Any]:
    with translation.override("en"):
        return {
            "hub": settings.HUB_NAME,
            "dfsp": certification.participant.name,
            "certification": certification.pk,
            "result": str(state),
            "askedBy": certification.asked_by,
            "startedAt": _moment(certification.started_at),
            "endedAt": _moment(now),
            "options": certification.options,
            "cases": [_case(case) for case in cases],
        }


def _case(case: CertificationCase) -> dict[str, Any]:
    known = BY_NAME[case.name]
    return {
        "name": case.name,
        "title": str(known.title),
        "side": known.side,
        "isOptional": known.is_optional,
        "expected": str(known.expected),
        "verdict": case.verdict,
        "faults": [
            dict(zip(("code", "wrong", "mend"), (each["code"], *texts(each)), strict=True)) for each in case.faults
        ],
        "reportedByHand": case.reported,
        "messages": case.exchanges,
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


def sign(text: str) -> str:
    """Returns a compact JWS (RFC 7515) of the text, signed with the hub's key. Returns "" if the hub has no key."""
    file = settings.HUB_SIGNING_KEY_FILE
    if not file:
        return ""
    key = jws.load_private_key(Path(file).read_bytes())
    signed = f"{_encoded(json.dumps(_HEADER, separators=(',', ':')))}.{_encoded(text)}"
    return f"{signed}.{base64url.encode(key.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def _encoded(text: str) -> str:
    return base64url.encode(text.encode())


def verify(signature: str, key: RSAPublicKey) -> dict[str, Any]:
    """Returns the report that the JWS contains. Raises ValueError if the JWS is not signed with this key."""
    signed, _, mark = signature.rpartition(".")
    header, _, payload = signed.partition(".")
    try:
        if json.loads(base64url.decode(header)) != _HEADER:
            raise ValueError("the JWS does not have the header of the hub's reports")
        key.verify(base64url.decode(mark), signed.encode(), PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ValueError("the key has not signed this report") from None
    found: dict[str, Any] = json.loads(base64url.decode(payload))
    return found


def file_of(certification: Certification) -> str:
    """Returns the file that a person downloads: the report and its JWS."""
    return json.dumps(
        {"report": json.loads(certification.report), "jws": certification.signature or None},
        ensure_ascii=False,
        indent=2,
    )
