"""Chooses the next group of commands that the ledger decides, in the fair order of `hub.fair_groups`. Pure."""

from hub.fair_groups import Waiting as AnyWaiting
from hub.fair_groups import fair_share, without
from ledger.commands_and_outcomes import Command, Expire, Outcome, Prepare
from ledger.fx.commands_and_outcomes import FxCommand, FxExpire, FxOutcome, FxPrepare

Waiting = AnyWaiting[Command | FxCommand, Outcome | FxOutcome]

_OF_THE_HUB = (Expire, FxExpire)
_BEGINS = (Prepare, FxPrepare)


def take(waiting: list[Waiting], *, most: int, most_octets: int) -> list[Waiting]:
    """Removes the next group of commands from the list. Returns these commands in the order in which the ledger decides
    them.
    """
    share = fair_share(waiting, most=most, most_octets=most_octets, sender_of=_sender_of, octets_of=_octets_of)
    group = _in_order(share)
    waiting[:] = without(waiting, group)
    return group


def _in_order(chosen: list[Waiting]) -> list[Waiting]:
    """Returns the commands of a group in the order in which the ledger decides them. Leaves out a command that can
    depend on a prepare in the same group.

    `load` locks only stored rows, so a command that can depend on an unstored prepare waits for the next group.

    If a command ends a transfer, the command comes first and never waits. A command that ends a transfer cannot depend
    on a prepare of the same group, because no payee has received this prepare yet.
    """
    ends = [item for item in chosen if not isinstance(item.command, _BEGINS)]
    begins: list[Waiting] = []
    prepared: set[str] = set()
    converted: set[str] = set()  # the ids of new conversions and of their determining transfers
    for item in chosen:
        match item.command:
            case Prepare(transfer_id=id) if id not in converted:
                prepared.add(id)
                begins.append(item)
            case FxPrepare(commit_request_id=own_id, determining_transfer_id=id) if id not in prepared:
                converted |= {own_id, id}
                begins.append(item)
    return ends + begins


def _sender_of(command: Command | FxCommand) -> int:
    return 0 if isinstance(command, _OF_THE_HUB) else command.source_id  # 0 stands for the hub itself


def _octets_of(command: Command | FxCommand) -> int:
    return 0 if isinstance(command, _OF_THE_HUB) else len(command.message.body)
