"""The scripts that judge all messages of a run, after all other cases."""

import re
from typing import Any

from django.conf import settings

from fspiop.bodies import names
from fspiop.errors import error_body
from portal.certification.faults import NotJudged
from portal.certification.payee_cases import agree
from portal.certification.recorded_requests import in_database
from portal.certification.running_case import CaseEnds, Scene, error_deliveries

_NAME = re.compile(names.NAME)
_NAME_FIELDS = ("firstName", "middleName", "lastName")
_SIGNED = frozenset({"POST", "PUT"})
_SIGNATURE_CODE = "3105"
_LONGEST_VALUE = 60
_LONGEST_ANSWER = 300


async def names_in_parties(scene: Scene) -> None:
    """Checks the names in the DFSP's answers to lookups."""
    for told in scene.run.told_by_dfsp():
        if told.method != "PUT" or not told.path.startswith("/parties/") or told.is_error:
            continue
        party = told.json.get("party") or {}
        parts = (party.get("personalInfo") or {}).get("complexName") or {}
        for field in _NAME_FIELDS:
            value = parts.get(field)
            if value is not None and not (isinstance(value, str) and _NAME.match(value)):
                scene.add("forbidden_name", field=field, value=str(value)[:_LONGEST_VALUE])
        name = party.get("name")
        if name is not None and not (isinstance(name, str) and name.isprintable() and 1 <= len(name) <= 128):
            scene.add("forbidden_name", field="name", value=repr(name)[:_LONGEST_VALUE])
        if scene.faults:
            return


async def source(scene: Scene) -> None:
    """Checks the sender in each message about the certifier's requests: the sender must be the DFSP, or
    the certifier itself."""
    for told in scene.run.told_about_ids():
        if told.claimed not in (scene.dfsp.name, scene.certifier):
            scene.add("wrong_source", message=told.shown, found=told.claimed or "-", expected=scene.dfsp.name)
            return


async def signatures(scene: Scene) -> None:
    """Checks that the DFSP signs its messages, if the scheme uses signatures."""
    if settings.SIGNATURES == "ignored":
        raise NotJudged("no_signatures")
    for told in scene.run.told_about_ids():
        if told.source != scene.dfsp.name or told.method not in _SIGNED:
            continue
        is_party = told.method == "PUT" and told.path.startswith("/parties/")
        if "fspiop-signature" not in told.headers:
            if is_party and settings.ALLOW_UNSIGNED_PUT_PARTIES:
                continue
            scene.add("unsigned", message=told.shown)
            return
        if not told.is_taken and told.refusal[0] == _SIGNATURE_CODE:
            scene.add("signature_refused", message=told.shown, text=told.refusal[1])
            return


async def errors(scene: Scene) -> None:
    """Checks that the DFSP's endpoint accepts error callbacks about known and about unknown requests."""
    body = error_body("5000", "certification: the payer does not accept the terms")
    direct = await scene.deliver(*scene.message("PUT", f"/quotes/{scene.new_id()}/error", body))
    if direct.status == 0 or direct.status >= 500:
        raise scene.fail("error_not_accepted", message="PUT /quotes/{ID}/error", answer=str(direct))
    await _withdraw(scene, body)
    accepted, refused = await in_database(error_deliveries, scene.dfsp.pk, scene.run.ids)
    for message, answer in refused[:1]:
        scene.add("error_not_accepted", message=message, answer=answer[:_LONGEST_ANSWER])
    if not accepted and not refused:
        raise NotJudged("no_errors_sent")


async def _withdraw(scene: Scene, body: dict[str, Any]) -> None:
    """Requests terms, and then withdraws the request. If the DFSP gives no terms, another case reports this fault."""
    try:
        agreed = await agree(scene, "1")
    except (CaseEnds, NotJudged):
        scene.faults.clear()
        return
    path = f"/quotes/{agreed.quote_id}/error"
    await scene.send("PUT", path, body)
    await scene.is_delivered("PUT", path, seconds=scene.options.answer_s)
