"""What the views of this app share: the message as it came, its id, and how its sender is refused."""

from typing import ClassVar

from fspiop import ids
from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.views import FspiopView
from quotes.store import AgreementMessage


class MessageView(FspiopView):
    id_name: ClassVar[str]  # how a refusal calls the id

    def message(self) -> AgreementMessage:
        return AgreementMessage(self.raw_body, self.forwarded_headers(), self.caller, self.digest())

    def refuse(self, error: FspiopError, subject_id: str) -> None:
        """Tells the caller by PUT .../{ID}/error why nothing came of it."""
        path = forwarding.path_of(self.resource, subject_id)
        forwarding.send([forwarding.refuse_caller(self, error, path=path, subject=subject_id)])

    def check_id(self, subject_id: str) -> None:
        if not ids.is_correlation_id(subject_id):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{self.id_name}: must be a UUID or a ULID")
