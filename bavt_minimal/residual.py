"""A residual and the chance of being right behind it: eta (2p - 1), and back (paper, "residual value critic")."""

from __future__ import annotations


def residual(probability: float, scale: float) -> float:
    """eta (2p - 1): certain progress adds eta, a certain mistake takes it away.

    >>> residual(0.75, scale=0.4), residual(0.5, scale=0.4), residual(0.0, scale=0.4)
    (0.2, 0.0, -0.4)
    """
    return scale * (2.0 * probability - 1.0)


def chance(residual: float, scale: float) -> float:
    """p in [0, 1] of a residual of this form. At scale 0 every residual is 0 and says nothing: 1/2.

    >>> chance(0.2, scale=0.4), chance(-0.9, scale=0.4)
    (0.75, 0.0)
    """
    return min(1.0, max(0.0, (residual / (scale or 1.0) + 1.0) / 2.0))
