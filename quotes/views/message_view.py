"""The base class of the views for quotes and other agreements. The base class reads the message and the id in the path.
The base class also sends refusals."""

from typing import ClassVar

from fspiop import correlation_ids
from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.views import FspiopView
from quotes.commands_and_facts import AgreementMessage


class MessageView(FspiopView):
    id_name: ClassVar[str]  # the name that an error text uses for the id

    def message(self) -> AgreementMessage:
        return AgreementMessage(self.raw_body, self.forwarded_headers(), self.caller, self.digest())

    def refuse(self, error: FspiopError, subject_id: str) -> None:
        """Sends PUT .../{ID}/error to the caller, with the reason for the refusal."""
        path = forwarding.path_of(self.resource, subject_id)
        forwarding.send([forwarding.refuse_caller(self, error, path=path, subject=subject_id)])

    def check_id(self, subject_id: str) -> None:
        if not correlation_ids.is_correlation_id(subject_id):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{self.id_name}: must be a UUID or a ULID")
