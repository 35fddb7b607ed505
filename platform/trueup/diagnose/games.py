"""Shapley values: what each of several causes adds to a number that they make together. Pure.

A player's value is what it adds to those that came before it, averaged over every order the players can come in
(Shapley 1953, "A value for n-person games"). The values add up to what all players make,
whatever they do to each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from trueup.diagnose.metrics import Floats

Coalition = frozenset[int]
Worth = Callable[[Sequence[Coalition]], Sequence[Floats]]
"""What each of these sets of players makes: draws. Asked once, for all that are needed."""

EXACT_PLAYERS = 6
"""More players have more than 64 sets of them: then orders are drawn."""
ORDERS = 16
"""Orders drawn, half of them the others reversed."""


def shapley(players: int, worth: Worth, *, seed: int = 0) -> list[Floats]:
    """The value of each player, as draws; they add up to worth(all) - worth(none) in each draw.

    With at most `EXACT_PLAYERS` players every order counts; with more, `ORDERS` of them, drawn by `seed`.
    """
    if players <= EXACT_PLAYERS:
        return _exact(players, worth)
    return _drawn(players, worth, seed)


def _exact(players: int, worth: Worth) -> list[Floats]:
    sets = [frozenset(i for i in range(players) if mask >> i & 1) for mask in range(1 << players)]
    worths = dict(zip(sets, worth(sets), strict=True))
    values = []
    for player in range(players):
        value = np.zeros_like(worths[frozenset()])
        for others in (one for one in sets if player not in one):
            share = math.factorial(len(others)) * math.factorial(players - len(others) - 1) / math.factorial(players)
            value += share * (worths[others | {player}] - worths[others])
        values.append(value)
    return values


def _drawn(players: int, worth: Worth, seed: int) -> list[Floats]:
    rng = np.random.Generator(np.random.PCG64(seed))
    half = [tuple(int(i) for i in rng.permutation(players)) for _ in range(ORDERS // 2)]
    # An order and its reverse: what a player adds early and what it adds late are both looked at.
    orders = [order for one in half for order in (one, one[::-1])]
    chains = [[frozenset(order[:count]) for count in range(players + 1)] for order in orders]
    sets = list(dict.fromkeys(one for chain in chains for one in chain))
    worths = dict(zip(sets, worth(sets), strict=True))
    values = [np.zeros_like(worths[frozenset()]) for _ in range(players)]
    for order, chain in zip(orders, chains, strict=True):
        for player, before, after in zip(order, chain, chain[1:], strict=False):
            values[player] += (worths[after] - worths[before]) / len(orders)
    return values
