"""What the views of /participants and /parties share: the alias in their path, and how they refuse."""

import re
from collections.abc import Callable
from typing import Any, get_args

from django.http import HttpResponse
from rest_framework.request import Request

from directory.oracle import Alias
from fspiop.bodies.common import PartyIdType
from fspiop.errors import ErrorCode, FspiopError
from hub.api import passing
from hub.api.views import FspiopView, accepted

TYPES = frozenset(get_args(PartyIdType))
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f/]")


class AliasView(FspiopView):
    """A resource whose path names an alias. `self.alias` and `self.path` are there in every handler."""

    alias: Alias
    path: str
    subject: str

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.alias = _alias(request, **kwargs)
        parts = [self.resource, self.alias.type, self.alias.identifier, self.alias.sub_id]
        self.path = passing.path_of(*filter(None, parts))
        self.subject = passing.subject_of(self.path)

    def answer_later(self, work: Callable[[], dict[str, object]]) -> HttpResponse:
        """202, or 200 to a PUT; what `work` gives or refuses goes to the caller as a callback."""
        try:
            body = work()
            message = passing.tell_caller(self, path=self.path, body=body, subject=self.subject, kind="participants")
        except FspiopError as error:
            message = passing.refuse_caller(self, error, path=self.path, subject=self.subject)
        passing.send([message])
        return accepted()


def _alias(request: Request, *, id_type: str, identifier: str, sub_id: str = "") -> Alias:
    if id_type not in TYPES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"partyIdType: {id_type} is none of {', '.join(sorted(TYPES))}")
    for name, value in (("partyIdentifier", identifier), ("partySubIdOrType", sub_id)):
        if len(value) > 128 or _CONTROL.search(value):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: 1 to 128 printable characters")
    currency = request.GET.get("currency", "")
    if currency and not _CURRENCY.match(currency):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "currency: three capital letters")
    return Alias(id_type, identifier, sub_id, currency)
