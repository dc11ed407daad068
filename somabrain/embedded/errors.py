"""Why an embedded server is not there, and what to do about it."""

from somabrain.errors import SomabrainError


class EmbeddedServerError(SomabrainError):
    """An embedded server cannot be used."""
