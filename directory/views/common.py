"""The base class of the views of /participants and /parties: reads the alias in the path, and sends error callbacks."""

import re
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from directory.aliases import TYPES, Alias, check_readable
from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.views import FspiopView, accepted

_CURRENCY = re.compile(r"[A-Z]{3}\Z")


_LONGEST_PATH = 1000  # in a path, a character beyond ASCII becomes up to twelve characters


class AliasView(FspiopView):
    """The base class of a view whose path contains an alias. Every handler of a view with an alias can use `self.alias`
    and `self.path`."""

    alias: Alias
    path: str  # the path in the encoding of path_of
    subject: str

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.alias = _alias(request, **kwargs)
        parts = [self.resource, self.alias.type, self.alias.identifier, self.alias.sub_id]
        self.path = forwarding.path_of(*filter(None, parts))
        if max(len(self.path), len(self.signed_uri or "")) > _LONGEST_PATH:
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, f"the percent-encoded path has more than {_LONGEST_PATH} characters"
            )
        asked = f"{self.path} in {self.alias.currency}" if request.method == "GET" else self.path
        self.subject = forwarding.subject_of(asked)

    def answer_later(self, work: Callable[[], dict[str, object]]) -> HttpResponse:
        """Runs `work`, sends the result or the error to the requester as a callback, and responds with 202."""
        try:
            body = work()
            kind = "participants-state" if self.request.method == "GET" else "participants"
            message = forwarding.tell_caller(self, path=self.path, body=body, subject=self.subject, kind=kind)
        except FspiopError as error:
            message = forwarding.refuse_caller(self, error, path=self.path, subject=self.subject)
        forwarding.send([message])
        return accepted()


def _alias(request: Request, *, id_type: str, identifier: str, sub_id: str = "") -> Alias:
    if id_type not in TYPES:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"partyIdType: {id_type} is none of {', '.join(sorted(TYPES))}")
    currency = request.GET.get("currency", "")
    if currency and not _CURRENCY.match(currency):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "currency: must be three capital letters")
    alias = Alias(id_type, identifier, sub_id, currency)
    check_readable(alias)
    return alias
