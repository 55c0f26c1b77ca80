"""Decides whether the hub forwards or refuses each lookup and each answer to a lookup. The functions of this module use
no clock and no database."""

from collections.abc import Sequence

from directory.aliases import Alias, fitting
from directory.authoritative_oracles import authorities
from directory.lookup_commands import AnswerParty, AskParty, Facts
from fspiop.errors import ErrorCode, FspiopError
from hub.agreement_outcomes import AtOracles, Forwarded, NoRoom, NotObeyed, Outcome, Refused, Scene, refused
from hub.outbox.messages import IfPending, forward
from hub.participants.participant_checks import Party, check_payment, recipient_of, sender_of
from hub.test_currency import TEST_CURRENCY


def decide(commands: Sequence[AskParty | AnswerParty], scene: Scene, facts: Facts) -> list[Outcome]:
    """Returns a decision for each of these commands. Each command must be about a different lookup."""
    return [
        _ask(command, scene, facts) if isinstance(command, AskParty) else _answer(command, scene, facts)
        for command in commands
    ]


def not_found(alias: Alias) -> FspiopError:
    """Returns the error for an alias that no active DFSP serves."""
    return FspiopError(ErrorCode.ID_NOT_FOUND if alias.sub_id else ErrorCode.PARTY_NOT_FOUND)


def _ask(command: AskParty, scene: Scene, facts: Facts) -> Outcome:
    try:
        owner = _owner(command, scene, facts)
        if owner is None:
            return AtOracles()
        _check_some_payment(scene.parties[command.requester.name], owner, command.alias)
    except FspiopError as error:
        return _refused(command, scene, error)
    if (command.requester.name, owner.name) in scene.crowded:
        return NoRoom(owner.name)
    refusal = facts.gate.refusal(command, owner.name) if facts.gate is not None else None
    if refusal is not None:
        return _refused(command, scene, refusal)
    message = forward(
        command.message,
        owner,
        "GET",
        command.forwarded_path,
        subject=command.subject,
        kind="party-request",
        source_id=command.requester.id,
        reply_to_id=command.requester.id,
        error_path=command.path + "/error",
    )
    return Forwarded(command, message)


def _owner(command: AskParty, scene: Scene, facts: Facts) -> Party | None:
    """Returns the DFSP that receives the lookup, or None if the hub must first send a request to registered oracles."""
    if command.destination:
        owner = recipient_of(command.destination, scene.parties)
        sender_of(command.requester.name, scene.parties)
        return owner
    sender_of(command.requester.name, scene.parties)
    if command.owner is not None:
        found = scene.parties.get(command.owner)
        if found is None:
            raise not_found(command.alias)
        return found
    return _registered_owner(command.alias, facts)


def _registered_owner(alias: Alias, facts: Facts) -> Party | None:
    """Returns the DFSP of an alias in the hub's own oracle.

    Returns None if another oracle can also answer for the alias.
    """
    registered = facts.oracles.get(alias.type, ())
    if authorities(alias, registered, serves_itself=alias.type in facts.own_types) != [None]:
        return None
    for registration in fitting(facts.registrations.get(alias, ()), alias):
        if registration.fsp in facts.owners:
            return facts.owners[registration.fsp]
    raise not_found(alias)


def _check_some_payment(asker: Party, owner: Party, alias: Alias) -> None:
    """Refuses a lookup between two DFSPs if neither DFSP is allowed to pay the other. A lookup can begin a payment in
    either direction. A lookup without a currency can also begin a payment in the test currency."""
    if not (asker.may_receive and owner.may_send):
        check_payment(payer=asker, payee=owner, currencies=(alias.currency or TEST_CURRENCY,))


def _refused(command: AskParty, scene: Scene, error: FspiopError) -> Refused:
    # If the requester repeats the GET, the hub sends only one callback, with the newest error.
    return refused(
        scene,
        command.requester,
        error,
        path=command.path,
        subject=command.refusal_subject,
        kind="state-refusal",
        if_pending=IfPending.RENEW,
    )


def _answer(command: AnswerParty, scene: Scene, facts: Facts) -> Outcome:
    try:
        to = recipient_of(command.destination, scene.parties)
    except FspiopError as error:
        return NotObeyed(error.error, error.detail)
    if (to.id, command.subject, command.sender_id) not in facts.answered:
        return NotObeyed(ErrorCode.CLIENT_ERROR, "FSPIOP-Destination has not requested this party from the sender")
    message = forward(
        command.message,
        to,
        "PUT",
        command.path,
        subject=command.subject,
        kind="party-answer",
        source_id=to.id,
    )
    return Forwarded(command, message)
