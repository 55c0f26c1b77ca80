"""The error for an id that is already stored with different content."""

from kitovu_connector.errors import DoNotRefund


class Conflict(DoNotRefund):
    """The error for an id that is already stored with different content. The earlier record with this id continues."""

    def __init__(self, text: str = "this id was used before, with different content") -> None:
        super().__init__(text)
