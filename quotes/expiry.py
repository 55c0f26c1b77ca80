"""Ends each request for terms that got no answer in time, and notifies the requester.

One function ends requests of all kinds of agreements.
"""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Now

from hub import fair_overdue_rows, outbox
from hub.outbox import queries as outbox_queries
from hub.outbox.models import Message
from hub.sweeps import isolating_batches
from quotes import store
from quotes.models import Agreement, BulkQuote, FxQuote, Quote
from quotes.services import unanswered

KINDS: dict[type[Agreement], str] = {Quote: "quotes", BulkQuote: "bulk-quotes", FxQuote: "fx-quotes"}

_SWEEP = 500
# Some senders write an expiration that passed long ago. In this case, the payee still has a few seconds to answer.
_AT_LEAST = timedelta(seconds=5)
_ORDER = "expires_at, created_at"
_OVERDUE = [
    fair_overdue_rows.Way(
        "state = 'PENDING' AND expires_at <= statement_timestamp() AND created_at <= statement_timestamp() - %s",
        "expires_at",
        _ORDER,
    ),
    fair_overdue_rows.Way(
        "state = 'PENDING' AND expires_at IS NULL AND created_at <= statement_timestamp() - %s", "created_at", _ORDER
    ),
]


def expire_unanswered() -> int:
    """Ends unanswered requests of each kind of agreement. Gives each payer a turn, so that the requests of one payer do
    not delay the requests of other payers. Returns the number of ended requests.

    Two calls can run at the same time, because each call skips rows that the other call has locked.
    """
    return isolating_batches.each(*(partial(_expire, kind) for kind in KINDS))


def _expire(kind: type[Agreement]) -> int:
    return isolating_batches.in_groups(KINDS[kind], find=partial(_find, kind), work=partial(_end, kind), most=_SWEEP)


def _late(kind: type[Agreement]) -> "QuerySet[Agreement]":
    patience = timedelta(seconds=settings.QUOTE_ANSWER_S)
    is_late = Q(expires_at__lte=Now(), created_at__lte=Now() - _AT_LEAST) | Q(
        expires_at__isnull=True, created_at__lte=Now() - patience
    )
    return kind._default_manager.filter(is_late, state=Agreement.State.PENDING)


def _find(kind: type[Agreement], most: int) -> list[str]:
    patience = timedelta(seconds=settings.QUOTE_ANSWER_S)
    table, key = store.table_and_key(kind)
    return fair_overdue_rows.overdue(
        KINDS[kind], table, key, of="payer_id", ways=_OVERDUE, parameters=[_AT_LEAST, patience], most=most
    )


def _end(kind: type[Agreement], ids: list[str]) -> int:
    with transaction.atomic(durable=True):
        late = list(
            _late(kind)
            .filter(pk__in=ids)
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("payer")
            .annotate(content_type=KT("request_headers__content-type"))
            .only("payee_id", "expires_at", "payer__name")  # does not read the messages, which can be large
        )
        if not late:
            return 0
        kind._default_manager.filter(pk__in=[agreement.pk for agreement in late]).update(state=Agreement.State.EXPIRED)
        # If a request could not be delivered, the outbox has already notified the payer.
        not_taken = outbox_queries.not_taken(
            to={agreement.payee_id for agreement in late}, about={agreement.pk for agreement in late}
        )
        silent = [
            agreement
            for agreement in late
            if (agreement.payer_id, agreement.payee_id, agreement.pk, Message.State.DEAD) not in not_taken
        ]
        outbox.append([unanswered(agreement, content_type=agreement.content_type) for agreement in silent])
    outbox.poke({agreement.payer_id for agreement in silent})
    return len(late)
