"""Exchanges GET, POST and DELETE /participants/... with external oracles, synchronously and with strict checks.

An external oracle is the authority for its aliases. The hub refuses an oracle's answer that breaks the protocol. If the
oracle's answer shows that one DFSP has registered an alias, the hub lets no other DFSP change this registration. The
parameter `until` is the time limit (time.monotonic()) for the whole call.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings

from directory import oracle_answer_cache, oracle_client
from directory.aliases import Alias, Registration, composed, fitting
from directory.builtin_oracle import HELD
from directory.models import Oracle
from directory.oracle_client import THE_HUB, BatchRefused, Call, Caller, OracleUnavailable, Reply
from fspiop import bodies, correlation_ids
from fspiop.bodies.oracles import (
    OracleBatch,
    OracleBatchReply,
    OracleParty,
    OraclePartyList,
    OracleRegistration,
)
from fspiop.errors import ErrorCode, FspiopError
from hub.api.forwarding import path_of
from hub.participants.models import Participant

_REFUSED_BY_ORACLE = "refused by the oracle"
_NO_ANSWER = "the oracle gives no answer about this alias"


def find(oracle: Oracle, alias: Alias, *, caller: Caller, until: float) -> list[Registration]:
    """Returns the registrations of this alias, from the oracle or from the oracle's cached answer."""
    known = oracle_answer_cache.read(oracle, alias)
    if known.found is not None:
        return known.found
    found = _shown(oracle, alias, caller, until)
    if found:
        oracle_answer_cache.keep(oracle, alias, found, edition=known.edition)
    return found


def probe(oracle: Oracle) -> float:
    """Sends a lookup for an alias that does not exist, to measure the oracle's response time.

    Returns the oracle's response time in seconds, or a negative number if the oracle did not answer.
    """
    began = time.monotonic()
    alias = Alias(oracle.type, "0", currency=oracle.currency)
    try:
        _ask(oracle, Call("GET", _path(alias)), alias, THE_HUB, began + settings.ORACLE_TIMEOUT_S)
    except FspiopError:
        return -1.0
    return time.monotonic() - began


def register(oracle: Oracle, alias: Alias, fsp: Participant, *, until: float) -> bool:
    """Registers an alias at the oracle. If the oracle's answer shows that another DFSP has registered the alias,
    returns False and changes nothing."""
    shown = _shown(oracle, alias, fsp.id, until)
    held = _holders(shown, alias)
    if _others(shown, alias, fsp):
        return False
    if not held:
        said = OracleRegistration(
            fsp_id=fsp.name, currency=alias.currency or None, party_sub_id_or_type=composed(alias.sub_id) or None
        )
        reply = _ask(oracle, Call("POST", _path(alias), bodies.write(said)), alias, fsp.id, until)
        _check_obeyed(reply, ErrorCode.ADD_PARTY_INFO_ERROR)
        oracle_answer_cache.forget([alias])
    return True


def register_many(oracle: Oracle, aliases: Sequence[Alias], fsp: Participant, *, until: float) -> dict[Alias, str]:
    """Registers many aliases at the oracle in one request.

    Returns the aliases that were not registered, with a reason for each: another DFSP has registered the alias, or the
    oracle refused the alias. Each DFSP can have one batch in progress. Raises 2005 if too many batches are in progress.
    """
    try:
        with oracle_client.batch(fsp.id, until=until):
            return _register_many(oracle, aliases, fsp, until)
    except BatchRefused:
        raise FspiopError(ErrorCode.SERVER_BUSY, "another batch is in progress; try again afterwards") from None


def _register_many(oracle: Oracle, aliases: Sequence[Alias], fsp: Participant, until: float) -> dict[Alias, str]:
    """Looks up aliases at the oracle, and registers the aliases that are free. If a batch contains one alias in several
    spellings, the hub registers only the first spelling.

    All spellings of the alias then have the result of the first spelling.
    """
    first_of = {alias.identity: alias for alias in reversed(aliases)}
    distinct = list(dict.fromkeys(first_of[alias.identity] for alias in aliases))
    refused = _register_distinct(oracle, distinct, fsp, until)
    reasons = {alias: refused.get(first_of[alias.identity]) for alias in aliases}
    return {alias: reason for alias, reason in reasons.items() if reason is not None}


def _register_distinct(oracle: Oracle, aliases: Sequence[Alias], fsp: Participant, until: float) -> dict[Alias, str]:
    """Registers different aliases. If the oracle gives no usable answer about some of the aliases, refuses only these
    aliases.

    Raises 2003 if the oracle gives no usable answer about any of the aliases.
    """
    refused: dict[Alias, str] = {}
    new: list[Alias] = []
    calls = [Call("GET", _path(alias)) for alias in aliases]
    for alias, reply in zip(aliases, _ask_many(oracle, calls, fsp.id, until), strict=True):
        if reply is not None and _is_refusal(reply):
            refused[alias] = _REFUSED_BY_ORACLE
            continue
        shown = _read_or_none(reply)
        if shown is None:
            refused[alias] = _NO_ANSWER
            continue
        held = _holders(shown, alias)
        if _others(shown, alias, fsp):
            refused[alias] = HELD
        elif not held:
            new.append(alias)
    if all(refused.get(alias) == _NO_ANSWER for alias in aliases):
        raise _unavailable(oracle)
    if not new:
        return refused
    batch = OracleBatch(
        request_id=correlation_ids.new_uuid(),
        party_list=[_party(alias, fsp) for alias in new],
        currency=new[0].currency or None,
    )
    (reply,) = _ask_many(oracle, [Call("POST", "/participants", bodies.write(batch))], fsp.id, until)
    if reply is None:
        raise _unavailable(oracle)
    _check_obeyed(reply, ErrorCode.ADD_PARTY_INFO_ERROR)
    oracle_answer_cache.forget(new)
    wrong = _refused_of(reply, new)
    if wrong is None:
        refused |= dict.fromkeys(new, _NO_ANSWER)
        if all(refused.get(alias) == _NO_ANSWER for alias in aliases):
            raise _unavailable(oracle)
        return refused
    return refused | dict.fromkeys(wrong, _REFUSED_BY_ORACLE)


def withdraw(oracle: Oracle, alias: Alias, fsp: Participant, *, until: float) -> bool:
    """Deletes this DFSP's registrations of an alias at the oracle. Returns whether the DFSP had a registration.

    A DELETE request deletes every registration under the request's path. So the hub sends the request only if no other
    DFSP has a registration under this path.
    """
    shown = _shown(oracle, alias, fsp.id, until)
    own = [registration for registration in fitting(shown, alias) if registration.fsp == fsp.name]
    if not own:
        return False
    if all(registration.fsp == fsp.name for registration in shown):
        reply = _ask(oracle, Call("DELETE", _path(alias)), alias, fsp.id, until)
        _check_obeyed(reply, ErrorCode.DELETE_PARTY_INFO_ERROR)
        oracle_answer_cache.forget([alias])
    elif alias.currency or not all(registration.currency for registration in own):
        raise FspiopError(ErrorCode.DELETE_PARTY_INFO_ERROR, "the oracle would also delete another participant's alias")
    else:
        for currency in {registration.currency for registration in own}:
            withdraw(oracle, replace(alias, currency=currency), fsp, until=until)
    return True


def _shown(oracle: Oracle, alias: Alias, caller: Caller, until: float) -> list[Registration]:
    """Sends a request about an alias to the oracle, and does not use the cache."""
    return _read(oracle, _ask(oracle, Call("GET", _path(alias)), alias, caller, until))


def _ask(oracle: Oracle, call: Call, alias: Alias, caller: Caller, until: float) -> Reply:
    try:
        return oracle_client.ask(oracle.endpoint, call, about=alias.key, caller=caller, until=until)
    except OracleUnavailable:
        raise _unavailable(oracle) from None


def _ask_many(oracle: Oracle, calls: Sequence[Call], caller: Caller, until: float) -> list[Reply | None]:
    try:
        return oracle_client.ask_many(oracle.endpoint, calls, caller=caller, until=until)
    except OracleUnavailable:
        raise _unavailable(oracle) from None


def _read(oracle: Oracle, reply: Reply) -> list[Registration]:
    shown = _read_or_none(reply)
    if shown is None:
        raise _unavailable(oracle)
    return shown


def _read_or_none(reply: Reply | None) -> list[Registration] | None:
    """Returns the registrations in an oracle's reply, or None if there is no usable reply."""
    if reply is None:
        return None
    if reply.status == 404:
        return []
    if reply.status != 200:
        return None
    try:
        answer = bodies.read(OraclePartyList, reply.body)
    except FspiopError:
        return None
    return [
        Registration(party.fsp_id, party.currency or "", party.party_sub_id_or_type or "")
        for party in answer.party_list
    ]


def _check_obeyed(reply: Reply, code: ErrorCode) -> None:
    if not 200 <= reply.status < 300:
        raise FspiopError(code, _REFUSED_BY_ORACLE)


def _is_refusal(reply: Reply) -> bool:
    """Returns whether the oracle refused this alias, for example with 400.

    A server error of the oracle is not a refusal.
    """
    return 400 <= reply.status < 500 and reply.status not in (401, 403, 404, 408, 429)


def _unavailable(oracle: Oracle) -> FspiopError:
    return FspiopError(ErrorCode.SERVICE_UNAVAILABLE, f"the oracle for {oracle.type} gives no answer")


def _others(shown: Sequence[Registration], alias: Alias, fsp: Participant) -> bool:
    """Returns whether another DFSP has registered this alias for the alias's currency. A registration of another DFSP
    for all currencies also counts, unless this DFSP has a registration for the alias's currency.
    """
    held = _holders(shown, alias)
    in_all = {registration.fsp for registration in fitting(shown, alias) if not registration.currency}
    return bool(held - {fsp.name}) or (not held and bool(in_all - {fsp.name}))


def _holders(shown: Sequence[Registration], alias: Alias) -> set[str]:
    """Returns the DFSPs that have registered this alias for exactly its currency. An alias without a currency is
    registered for all currencies.
    """
    return {registration.fsp for registration in fitting(shown, alias) if registration.currency == alias.currency}


def _path(alias: Alias) -> str:
    path = path_of(*filter(None, ("participants", alias.type, composed(alias.identifier), composed(alias.sub_id))))
    return f"{path}?currency={alias.currency}" if alias.currency else path


def _party(alias: Alias, fsp: Participant) -> OracleParty:
    return OracleParty(
        party_id_type=alias.type,  # type: ignore[arg-type]
        party_identifier=composed(alias.identifier),
        party_sub_id_or_type=composed(alias.sub_id) or None,
        fsp_id=fsp.name,
        currency=alias.currency or None,
    )


def _refused_of(reply: Reply, aliases: Sequence[Alias]) -> set[Alias] | None:
    """Returns those aliases of a batch that the oracle refused, or None if the oracle's answer is not usable.

    If an alias is missing from the oracle's answer, the oracle has accepted this alias. An oracle can also send an
    answer without a body. An error about an alias without a sub-id is about every sub-id. If the answer has an error
    about an alias that is not in the batch, nobody knows which alias the oracle refused.
    """
    if not reply.body.strip():
        return set()
    try:
        answer = bodies.read(OracleBatchReply, reply.body)
    except FspiopError:
        return None
    wrong = {
        Alias(
            result.party_id.party_id_type,
            result.party_id.party_identifier,
            result.party_id.party_sub_id_or_type or "",
        ).identity
        for result in answer.party_list
        if result.error_information is not None
    }
    named: dict[tuple[str, ...], set[Alias]] = {}
    for alias in aliases:
        for sub_id in {alias.sub_id, ""}:
            named.setdefault(replace(alias, sub_id=sub_id, currency="").identity, set()).add(alias)
    if not wrong <= named.keys():
        return None
    return set[Alias]().union(*(named[identity] for identity in wrong))
