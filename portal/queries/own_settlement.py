"""What one participant owes or is owed: by window, and by settlement. Nothing of another is in it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from hub.participants.models import Participant
from ledger.models import SettlementWindow
from ledger.queries import NetPosition
from portal.queries import window_nets
from settlement.models import ContentTotal, SettlementAccount


@dataclass(frozen=True, slots=True)
class OwnWindow:
    window: SettlementWindow
    nets: Sequence[NetPosition]  # one in each currency in which it paid or was paid


def of_windows(windows: Iterable[SettlementWindow], participant: Participant) -> list[OwnWindow]:
    """This participant's nets in each of these windows, by one statement for all that are added up."""
    windows = list(windows)
    totals = (
        ContentTotal.objects.filter(content__window__in=windows, account__participant=participant)
        .order_by("account__currency", "id")
        .values_list("content__window_id", "account__currency", "debits", "credits")
    )
    found: dict[int, dict[str, NetPosition]] = {window.pk: {} for window in windows}
    for window_id, currency, debits, credits in totals:
        before = found[window_id].get(currency, NetPosition(participant.name, currency, 0, 0))
        sent, received = before.sent + int(debits), before.received + int(credits)
        found[window_id][currency] = NetPosition(participant.name, currency, sent, received)
    return [
        OwnWindow(
            window,
            list(found[window.pk].values())
            if window.totalled_at
            else window_nets.of_window(window, participant=participant.name),
        )
        for window in windows
    ]


def settlements_of(participant_id: int) -> "QuerySet[SettlementAccount]":
    """Its accounts in settlements, the latest first."""
    found = SettlementAccount.objects.filter(account__participant_id=participant_id)
    return found.select_related("settlement__model", "account").order_by("-id")


def all_windows(participant: Participant, *, most: int) -> Iterator[OwnWindow]:
    """The latest windows in which it paid or was paid."""
    for own in of_windows(SettlementWindow.objects.order_by("-id")[:most], participant):
        if own.nets:
            yield own
