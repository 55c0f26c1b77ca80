"""Trial lookups: the hub itself sends a lookup of a test number to a new DFSP, before the DFSP goes live.

The hub sends the trial lookup to the DFSP's own callback URL. The DFSP answers with PUT /parties, as for any other
lookup. The hub stores only the last characters of the number, and a digest with which the hub recognises the answer.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from directory.aliases import Alias
from directory.models import TrialLookup
from fspiop import versions
from fspiop.bodies.parties import PartyPut
from fspiop.paths import path_of
from fspiop.time import http_date
from hub import sql_execution
from hub.api import forwarding
from hub.audit import record
from hub.http_client import Curl
from hub.outbox import client
from hub.outbox.claims import Claimed
from hub.outbox.client import Answer
from hub.participants import endpoint_types_and_urls, queries
from hub.participants.models import Participant

_ANSWERS_WITHIN = timedelta(minutes=5)
_SHOWN = 3  # the hub stores this many of a number's last characters
_VERSION = 1  # the hub requests an answer in this major version of the API


def latest(participant: Participant) -> TrialLookup | None:
    return TrialLookup.objects.filter(participant=participant).order_by("-id").first()


def ask(participant: Participant, alias: Alias, *, actor: str) -> TrialLookup:
    """Sends GET /parties for a test number. Stores the trial lookup first and sends the request afterwards, because the
    answer can come quickly.

    The DFSP's response only shows that the DFSP accepted the request. The DFSP's answer comes later, as a PUT /parties.
    """
    path = _path(alias)
    with transaction.atomic():
        trial = TrialLookup.objects.create(
            participant=participant,
            alias_type=alias.type,
            shown="…" + alias.identifier[-_SHOWN:],
            subject=_subject(alias),
            asked_by=actor,
        )
        after = {"type": alias.type, "number": trial.shown}
        record("trial_lookup", subject=participant.name, actor=actor, after=after)
    answer = _send(participant, path)
    if not answer.is_taken:
        rows = TrialLookup.objects.filter(pk=trial.pk, answered_at=None)
        rows.update(fault=TrialLookup.Fault.NOT_ACCEPTED, detail=answer.error[:512])
    trial.refresh_from_db()
    return trial


def _path(alias: Alias) -> str:
    return path_of("parties", alias.type, alias.identifier)


def _subject(alias: Alias) -> str:
    """Returns the digest of the number, the same for all spellings of the number."""
    return forwarding.subject_of(f"trial {alias.type} {alias.key}")


def _send(participant: Participant, path: str) -> Answer:
    url = endpoint_types_and_urls.url_for(queries.endpoints_of([participant.pk])[participant.pk], "GET", path)
    if url is None:
        return Answer(0, "no callback URL", is_unsent=True)
    now = datetime.now(UTC)
    headers = {
        "accept": versions.accept("parties", _VERSION),
        "content-type": versions.content_type("parties", f"{_VERSION}.0"),
        "date": http_date(now),
        "fspiop-source": settings.HUB_NAME,
        "fspiop-destination": participant.name,
    }
    message = Claimed(
        id=0,
        destination_id=participant.pk,
        method="GET",
        path=path,
        headers=headers,
        body=b"",
        subject="",
        kind="trial-lookup",
        signed_by_hub=False,
        reply_to_id=None,
        error_path=None,
        attempts=1,
        age_s=0.0,
        lease=now,
    )
    sql_execution.give_back()
    return asyncio.run(_call(message, url))


async def _call(message: Claimed, url: str) -> Answer:
    async with Curl() as curl:
        return await client.send(curl, message, url, message.headers)


def take_answer(sender_id: int, sender: str, alias: Alias, body: PartyPut) -> bool:
    """Stores a DFSP's answer to its open trial lookup. Returns False if this DFSP has no open trial for this number."""
    info = body.party.party_id_info
    named = Alias(info.party_id_type, info.party_identifier)
    if (named.type, named.key) != (alias.type, alias.key):
        return _end(sender_id, alias, TrialLookup.Fault.OTHER_NUMBER)
    if info.fsp_id != sender:
        return _end(sender_id, alias, TrialLookup.Fault.OTHER_DFSP, info.fsp_id or "")
    return _end(sender_id, alias, "")


def take_error(sender_id: int, alias: Alias, code: str) -> bool:
    """Stores a DFSP's error as the answer to its open trial lookup. Returns False if this DFSP has no open trial for
    this number."""
    return _end(sender_id, alias, TrialLookup.Fault.ERROR, code)


def _end(sender_id: int, alias: Alias, fault: str, detail: str = "") -> bool:
    open_ones = TrialLookup.objects.filter(
        participant_id=sender_id,
        subject=_subject(alias),
        answered_at=None,
        asked_at__gt=datetime.now(UTC) - _ANSWERS_WITHIN,
    )
    return bool(open_ones.update(answered_at=Now(), is_right=not fault, fault=fault, detail=detail))
