"""The overview page of the scheme. The live part of the page refreshes itself every few seconds."""

import json
from datetime import UTC, datetime
from typing import Any, cast

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hub.notifications import queries as notifications
from hub.outbox import queries as outbox
from hub.sweeps import queries as sweeps
from portal.queries import limit_use_per_minute, overview, positions

_FRESH_S = 4
_OLD_CALLBACK_S = 60
_MOST_LINES = 8


def index(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/overview.html", _context())


def live(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/overview_live.html", _context())


def _context() -> dict[str, Any]:
    # Each process has its own cache of these objects, because pages must not depend on Valkey.
    return cast("dict[str, Any]", caches["process"].get_or_set("portal:overview", _make, _FRESH_S))


def _make() -> dict[str, Any]:
    standings = positions.standings()
    queues = outbox.queues()
    figures = overview.figures()
    now = datetime.now(UTC)
    oldest = min((queue.oldest for queue in queues if queue.oldest), default=None)
    oldest_s = (now - oldest).total_seconds() if oldest else 0.0
    busiest = sorted(standings, key=lambda standing: -standing.used_percent)[:_MOST_LINES]
    uses = limit_use_per_minute.latest([standing.position_account.pk for standing in busiest])
    _waiting, unsent, _oldest_s = notifications.counts()
    return {
        "figures": figures,
        "unsent": unsent,
        "standings": standings,
        "near_limit": [standing for standing in standings if standing.is_near_limit],
        "queues": queues,
        "pending": sum(queue.pending for queue in queues),
        "dead": sum(queue.dead for queue in queues),
        "skipped": sum(count for _, count in sweeps.counts()),
        "oldest_s": oldest_s,
        "is_late": oldest_s > _OLD_CALLBACK_S,
        "made_at": now,
        "chart": json.dumps(
            {
                "minutes": [[m.at, m.arrived, m.committed, m.aborted] for m in figures.minutes],
                "used": [
                    {
                        "label": f"{s.participant.name} {s.currency}",
                        "minutes": [uses[s.position_account.pk].get(m.at) for m in figures.minutes[:-1]],
                        "now": s.used_percent,
                    }
                    for s in busiest
                ],
            }
        ),
    }
