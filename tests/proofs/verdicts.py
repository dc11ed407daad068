"""What the proofs ask for and get: a table at the end of `make proofs`.

At full size every limit is judged. The small size runs on any machine beside anything: there a claim is held against
its `small` limit, if it has one.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.report import Figure, Limit, at_least, at_most
from tests.proofs.sizes import FULL

FIGURES: list[Figure] = []


@dataclass(frozen=True, slots=True)
class Claim:
    """One number of one proof."""

    proof: str
    what: str
    got: float
    asked: Limit
    small: Limit | None = None

    @property
    def limit(self) -> Limit | None:
        return self.asked if FULL else self.small

    def __str__(self) -> str:
        return f"{self.proof}  {self.what}: asked {self.limit}, got {self.got:g}"


def judge(*claims: Claim) -> None:
    """Notes all of them for the table, then fails with those that do not hold."""
    FIGURES.extend(Figure(what=f"{each.proof}  {each.what}", samples=[each.got], asked=each.asked) for each in claims)
    missed = [str(each) for each in claims if each.limit is not None and not each.limit.holds(each.got)]
    assert not missed, "\n".join(missed)


def none(proof: str, what: str, got: float) -> Claim:
    """Something that must not be, at any size."""
    return Claim(proof, what, got, at_most(0), at_most(0))


def least(proof: str, what: str, got: float, asked: float, *, small: float | None = None) -> Claim:
    return Claim(proof, what, got, at_least(asked), None if small is None else at_least(small))


def most(proof: str, what: str, got: float, asked: float, *, small: float | None = None) -> Claim:
    return Claim(proof, what, got, at_most(asked), None if small is None else at_most(small))
