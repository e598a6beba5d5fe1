"""What every exercise's check shares. One file a notebook; proven against wrong answers in tests/exercises."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

NOT_ATTEMPTED = "Not attempted yet: replace the line that raises NotImplementedError."


class Said(str):
    """What a check tells the reader; shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def exercise(check: Callable[..., str]) -> Callable[..., Said]:
    """Make a check of a function from what the reader wrote to what to tell them: "Right." first if it is right.

    An untouched stub, or None in place of a value, is "not attempted"; an error in the reader's code is named.
    """

    @wraps(check)
    def run(*mine: object) -> Said:
        if any(each is None for each in mine):
            return Said("Not attempted yet: put your answer in place of None.")
        try:
            return Said(check(*mine))
        except NotImplementedError:
            return Said(NOT_ATTEMPTED)
        except Exception as error:
            hint = ". Is a `return` missing?" if "NoneType" in str(error) else ""
            return Said(f"Your code raised {type(error).__name__}: {error}{hint}")

    return run


def beside(guess: float | str | None, measured: float | str, unit: str = "") -> Said:
    """A prediction beside what was measured."""
    said = "You made no guess." if guess is None else f"You said {guess}."
    shown = f"{measured:.3g}" if isinstance(measured, float) else str(measured)
    return Said(f"{said} Measured: {shown}{' ' * bool(unit)}{unit}.")
