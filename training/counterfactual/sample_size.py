"""How much data a decision takes, before it is collected: two-sided tests at 5 %. Pure numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.05


def _quantiles(power: float) -> float:
    return NormalDist().inv_cdf(1 - LEVEL / 2) + NormalDist().inv_cdf(power)


def members_per_arm(rate: float, lift: float, power: float = 0.8, design: float = 1.0) -> int:
    """Requests of each arm of an A/B test that find a relative `lift` of `rate` (Fleiss, Levin and Paik, 2003).

    `design` multiplies it: 1 + (requests of a member - 1) * their correlation.
    """
    other = rate * (1 + lift)
    spread = rate * (1 - rate) + other * (1 - other)
    return math.ceil(design * _quantiles(power) ** 2 * spread / (other - rate) ** 2)


def lists_interleaved(preference: float, ties: float = 0.0, power: float = 0.8) -> int:
    """Interleaved lists that find that one side wins a share `preference` of the lists without a tie: a sign test."""
    distance = abs(preference - 0.5)
    decided = (_quantiles(power) * 0.5 / distance) ** 2
    return math.ceil(decided / (1 - ties))


def logged_requests(rate: float, lift: float, effective: float, power: float = 0.8) -> int:
    """Logged choices that find a lift off-policy, where a share `effective` of them counts in effect.

    The logged rate is known from all of them, so one arm's variance remains (see `training.counterfactual.estimates`).
    """
    other = rate * (1 + lift)
    one_arm = _quantiles(power) ** 2 * other * (1 - other) / (other - rate) ** 2
    return math.ceil(one_arm / effective)
