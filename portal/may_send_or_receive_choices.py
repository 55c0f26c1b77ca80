"""The choices on the pages for a participant: send and receive, only send, only receive, or neither.

The ledger stores the choice as two flags.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Direction(models.TextChoices):
    BOTH = "both", _("send and receive")
    SEND = "send", _("send only")
    RECEIVE = "receive", _("receive only")
    NONE = "none", _("neither send nor receive")

    @classmethod
    def of(cls, may_send: bool, may_receive: bool) -> "Direction":
        return next(found for found in cls if found.allows == (may_send, may_receive))

    @property
    def allows(self) -> tuple[bool, bool]:
        """Returns the ledger's two flags: whether the participant may send, and whether the participant may receive."""
        return self in (Direction.BOTH, Direction.SEND), self in (Direction.BOTH, Direction.RECEIVE)
