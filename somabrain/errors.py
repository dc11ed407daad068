"""What can go wrong with the service's own parts."""


class SomabrainError(Exception):
    """Something is wrong with the service."""
