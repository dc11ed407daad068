"""Why an embedded server is not there, and what to do about it."""

from somabrain.errors import SomabrainError


class EmbeddedServerError(SomabrainError):
    """An embedded server cannot be used."""


class MissingProgram(EmbeddedServerError):
    """A program that an embedded server needs is not installed."""

    def __init__(self, name: str, *, package: str) -> None:
        super().__init__(f"`{name}` is not installed; on Debian: apt-get install {package}.")
