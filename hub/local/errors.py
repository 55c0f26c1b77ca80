"""The exception class of the package hub.local."""


class LocalError(Exception):
    """A problem that a person must solve, in three parts: the problem itself, the place with more information, and the
    remedy."""

    def __init__(self, what: str, *, where: object = "", do: str = "") -> None:
        """Stores the three parts. str() shows each part on a separate line."""
        self.what, self.where, self.do = what, str(where), do
        super().__init__(what)

    def __str__(self) -> str:
        """Returns the parts that are not empty."""
        parts = [self.what, f"Where: {self.where}" if self.where else "", f"What to do: {self.do}" if self.do else ""]
        return "\n".join(part for part in parts if part)
