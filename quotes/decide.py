"""Decides what the hub does with requests for terms, and with the answers to these requests. The functions of this
module do not use a clock or a database."""

from collections.abc import Sequence
from dataclasses import replace

from fspiop.errors import ErrorCode, FspiopError
from fspiop.paths import path_of
from hub.agreement_outcomes import (
    Alone,
    Forwarded,
    NoRoom,
    NotObeyed,
    Outcome,
    Refused,
    RefusedAndStored,
    Repeated,
    Scene,
    refused,
)
from hub.outbox.messages import IfPending, ReceivedMessage, Recipient
from hub.participants.participant_checks import (
    Party,
    check_account,
    check_destination,
    check_named,
    check_payment,
    recipient_of,
    sender_of,
)
from quotes import notices
from quotes.commands_and_facts import AgreementCommand, AskTerms, Facts, GiveTerms, Standing, State, Stored


def decide(commands: Sequence[AgreementCommand], scene: Scene, facts: Facts) -> list[Outcome]:
    """Returns a decision for each of these commands. Each command must be about a different agreement."""
    return [_ask(each, scene, facts) if isinstance(each, AskTerms) else _give(each, scene, facts) for each in commands]


def is_same(command: AskTerms, seen: Standing) -> bool:
    """Returns whether this request repeats the stored request."""
    return seen.payer.id == command.sender_id and seen.request_digest == command.message.digest


_SHORT = 8192  # two hundred stored messages of this size together slightly exceed LEDGER_BATCH_BYTES


def is_too_large(command: AskTerms, seen: Standing, scene: Scene) -> bool:
    """Returns whether the stored message is too large for a group. To answer a repeated request, the hub must load a
    stored message.

    The size of a group includes the received messages, but not the stored messages. For the hub, two messages are equal
    if they differ only in spaces. So a stored message can be much larger than a repetition of this message.
    """
    return not scene.is_alone and seen.octets > max(_SHORT, len(command.message.body))


# --- requests ---------------------------------------------------------------------------------------------------------


def _ask(command: AskTerms, scene: Scene, facts: Facts) -> Outcome:
    """Forwards a request for terms to the payee, or refuses the request by the scheme's rules.

    If a request is repeated, the hub sends the stored answer: the payee's, or its own refusal. If there is no answer
    yet, the hub forwards the request again. If a request has the id of an earlier request but different content, the
    hub refuses the new request with 3106 and changes nothing.
    """
    try:
        payee = recipient_of(command.to, scene.parties)
        _check(command, sender_of(command.requester.name, scene.parties), payee)
        if (command.requester.name, payee.name) in scene.crowded:
            return NoRoom(payee.name)
        seen = facts.standing.get(command.key)
        if seen is not None and not is_same(command, seen):
            raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this ID was used with other content")
    except FspiopError as error:
        return _refused(command, scene, error)
    if seen is not None:
        if is_too_large(command, seen, scene):
            return Alone()
        return _again(facts.stored[command.key], scene)
    fault = facts.gate.fault(command) if facts.gate is not None else None
    if fault is not None:
        return _refused(command, scene, fault)
    refusal = facts.gate.refusal(command) if facts.gate is not None else None
    if refusal is not None and command.resource == "quotes":
        return _refuse_by_rules(command, payee, scene, refusal)
    if refusal is not None:
        return _refused(command, scene, refusal)
    message = notices.request_of(
        command.resource, command.agreement_id, command.message, payee, requester_id=command.sender_id
    )
    return Forwarded(command, message)


def _check(command: AskTerms, caller: Party, payee: Party) -> None:
    """Raises FspiopError if the message names wrong participants, or if the hub would later refuse the payment."""
    if payee.id == caller.id:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "FSPIOP-Destination is the sender itself")
    check_named(command.named, payee.name)
    if command.resource == "fxQuotes":
        _check_fxp(payee)
    else:
        check_payment(payer=caller, payee=payee, currencies={c for each in command.currencies for c in each})
    for each in command.currencies:
        check_account(payee, *each)


def _check_fxp(fxp: Party) -> None:
    """Raises FspiopError if an FXP cannot send or cannot receive.

    The requester can be the payer or the payee of the payment. Only a later request for the conversion shows whether
    the requester is the payer or the payee.
    """
    if not (fxp.may_send and fxp.may_receive):
        raise FspiopError(ErrorCode.PAYEE_PERMISSION_ERROR, f"{fxp.name} may not both send and receive")


def _again(stored: Stored, scene: Scene) -> Repeated:
    if stored.state != State.PENDING:
        message = notices.answer_again(stored, scene.hub)
    else:
        first = ReceivedMessage(stored.request or b"", dict(stored.request_headers))
        message = notices.request_of(stored.resource, stored.pk, first, stored.payee, requester_id=stored.payer.id)
    message.if_pending = IfPending.SKIP
    return Repeated(message)


def _refuse_by_rules(command: AskTerms, payee: Party, scene: Scene, refusal: FspiopError) -> RefusedAndStored:
    """Stores the request with the hub's refusal as its answer, so that people find the refused payment.

    The payee DFSP receives nothing, and never learns of the request. The answer has the request's digest, which no
    answer of a participant has: see `quotes.models.Agreement`.
    """
    message = _refused(command, scene, refusal).message
    own = replace(command.message, body=message.body, headers=message.headers)
    answer = GiveTerms(
        resource=command.resource,
        agreement_id=command.agreement_id,
        sender=command.requester,
        message=own,
        state=State.REJECTED,
        not_found=refusal.error,
        columns={},
    )
    return RefusedAndStored(command, payee.id, answer, message)


def _refused(command: AskTerms, scene: Scene, error: FspiopError) -> Refused:
    path, subject = path_of(command.resource, command.agreement_id), command.agreement_id
    return refused(
        scene, command.requester, error, path=path, subject=subject, kind="refusal", if_pending=IfPending.ADD
    )


# --- answers ----------------------------------------------------------------------------------------------------------


def _give(command: GiveTerms, scene: Scene, facts: Facts) -> Outcome:
    """Forwards terms from the payee to the payer. Forwards a refusal from one party to the other party.

    Only the payee has the right to send terms for an agreement. If the payee repeats the same answer, the hub accepts
    the answer and changes nothing. If the payee sends a second answer with different content, the hub refuses this
    answer (3106).
    """
    try:
        seen = facts.standing.get(command.key)
        if seen is None or seen.is_refused_by_rules or command.sender_id not in (seen.payer.id, seen.payee.id):
            raise FspiopError(command.not_found)
        if not _is_news(seen, command):
            return Repeated(None)
        to = seen.payer if command.sender_id == seen.payee.id else seen.payee
        check_destination(command.message.headers.get("fspiop-destination"), to.name)
    except FspiopError as error:
        if error.code != ErrorCode.MODIFIED_REQUEST.code:
            # A participant that is not a party must not learn that the agreement exists. This participant gets the
            # error in the HTTP response.
            return NotObeyed(error.error, error.detail)
        path, subject = path_of(command.resource, command.agreement_id), command.agreement_id
        # A new error callback replaces a waiting error callback. So if a sender repeats a faulty answer, the sender
        # gets only one error callback.
        return refused(
            scene, command.sender, error, path=path, subject=subject, kind="refusal", if_pending=IfPending.RENEW
        )
    if facts.gate is not None and command.state is State.ACCEPTED:
        refusal = facts.gate.refusal_of_terms(command, seen.kept)
        if refusal is not None:
            return _refuse_terms(command, seen, scene, refusal)
    message = notices.answer_of(
        command.resource,
        command.agreement_id,
        command.message,
        to,
        is_error=command.state is State.REJECTED,
        source_id=seen.payer.id,
    )
    return Forwarded(command, message)


def _refuse_terms(command: GiveTerms, seen: Standing, scene: Scene, refusal: FspiopError) -> Forwarded:
    """Ends the agreement with an error from the hub. The hub stores this error as the agreement's answer and sends the
    error to the payer."""
    payer = Recipient(seen.payer.id, seen.payer.name, command.sender.version)
    path = path_of(command.resource, command.agreement_id) + "/error"
    message = scene.hub.callback(
        payer, path, refusal.body(), subject=command.agreement_id, kind="quote-answer", source_id=seen.payer.id
    )
    own = replace(command.message, body=message.body, headers=message.headers)
    return Forwarded(replace(command, state=State.REJECTED, columns={}, message=own), message)


def _is_news(seen: Standing, command: GiveTerms) -> bool:
    """Returns whether this answer changes the agreement.

    If the answer repeats the stored answer, returns False. Raises FspiopError if this answer is not allowed.
    """
    is_by_payee = command.sender_id == seen.payee.id
    if command.state is State.ACCEPTED and not is_by_payee:
        raise FspiopError(command.not_found)
    if seen.response_digest == command.message.digest:
        return False
    if seen.state == State.EXPIRED:
        raise FspiopError(ErrorCode.QUOTE_EXPIRED, "the hub has reported to the payer that no answer came in time")
    if seen.state == State.REJECTED or (seen.state == State.ACCEPTED and command.state is State.ACCEPTED):
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with other content")
    if seen.state == State.ACCEPTED and is_by_payee:
        raise FspiopError(ErrorCode.MODIFIED_REQUEST, "this quote was answered with terms")
    return True
