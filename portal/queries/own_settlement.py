"""Reads the amounts that one participant owes or receives, by window and by settlement. Returns no data about other
participants."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from hub.participants.models import Participant
from ledger.models import SettlementWindow
from settlement import window_nets
from settlement.models import SettlementAccount
from settlement.window_nets import NetPosition


@dataclass(frozen=True, slots=True)
class OwnWindow:
    window: SettlementWindow
    nets: Sequence[NetPosition]  # one for each currency in which the participant paid or was paid


def of_windows(windows: Iterable[SettlementWindow], participant: Participant) -> list[OwnWindow]:
    """Returns this participant's net positions in each window. One SQL statement reads all windows that have totals."""
    windows = list(windows)
    nets = window_nets.of_windows(windows, participant=participant.name)
    return [OwnWindow(window, nets[window.pk]) for window in windows]


def settlements_of(participant_id: int) -> "QuerySet[SettlementAccount]":
    """Returns the participant's accounts in settlements, with the latest settlement first."""
    found = SettlementAccount.objects.filter(account__participant_id=participant_id)
    return found.select_related("settlement__model", "account").order_by("-id")


def all_windows(participant: Participant, *, most: int) -> Iterator[OwnWindow]:
    """Yields the latest windows in which the participant paid or was paid."""
    for own in of_windows(SettlementWindow.objects.order_by("-id")[:most], participant):
        if own.nets:
            yield own
