"""Messages for tests of the outbox."""

from hub.outbox import store
from hub.outbox.messages import HUB, IfPending, Outgoing
from hub.outbox.models import Message

MANY = 10**9  # octets: as good as no bound


def message(
    to: int,
    path: str = "/transfers/T",
    *,
    subject: str = "s",
    kind: str = "state",
    source: int = HUB,
    reply_to: int | None = None,
    body: bytes = b'{"a": 1}',
    if_pending: IfPending = IfPending.ADD,
) -> Outgoing:
    return Outgoing(
        destination_id=to,
        method="PUT",
        path=path,
        headers={"content-type": "application/vnd.interoperability.transfers+json;version=1.1", "date": "now"},
        body=body,
        subject=subject,
        kind=kind,
        signed_by_hub=False,
        reply_to_id=reply_to,
        error_path="/quotes/Q/error" if reply_to else None,
        source_id=source,
        if_pending=if_pending,
    )


def deliver_all() -> None:
    """As if every participant had taken all that waited for it."""
    store.delivered([(message_id, 200) for message_id in Message.objects.values_list("id", flat=True)])
