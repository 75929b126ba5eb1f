"""Why a plan takes more cards than their rate would, and what to give for fewer. Pure."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.backends.simulator.figures import CardFigures
from streamer.sizing.host import HostCost
from streamer.sizing.plan import Limit, Plan, make_plan
from streamer.sizing.wish import Wish
from streamer.sizing.words import counted

#: What is tried, in ms.
_BUDGETS_MS: Final = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
_MOST_BUDGETS: Final = 4
_BECAUSE: dict[Limit, str] = {
    "device": "a worker's instances do {fps:,.0f} frames/s",
    "host": "a worker process does {fps:,.0f} frames/s",
    "latency": "a worker keeps the budget up to {fps:,.0f} frames/s",
}


def hints(plan: Plan, programs: Sequence[CardFigures], host: HostCost) -> list[str]:
    """Return what explains the number of cards, a line each.

    Args:
        plan: One that `make_plan` found.
        programs: From these.
        host: For this host.
    """
    if plan.devices == 1:
        return []
    said = (_why_so_many(plan, programs, host), _longer_budgets(plan, programs, host))
    return [hint for hint in said if hint is not None]


def _why_so_many(plan: Plan, programs: Sequence[CardFigures], host: HostCost) -> str | None:
    """Return the reason where it is not the cards' rate."""
    figures, wish = plan.lane.figures, plan.wish
    by_rate = math.ceil(wish.total_fps / (figures.images_per_s * (1 - wish.headroom)))
    if by_rate >= plan.devices:
        return None
    bound_fps = plan.limits_fps[plan.limit]
    reason = (
        f"{counted(plan.devices, 'card')} where {by_rate} would have the rate, because a card has no more workers than "
        f"its {counted(figures.instances, 'instance')}, and {_BECAUSE[plan.limit].format(fps=bound_fps)}"
    )
    if not wish.headroom:
        return reason
    if plan.limit != "latency":
        reason += f" with {wish.headroom:.0%} left free"
    bare = make_plan(programs, replace(wish, headroom=0.0), host)
    return f"{reason}; --headroom 0 needs {bare.devices}" if bare.devices < plan.devices else reason


def _longer_budgets(plan: Plan, programs: Sequence[CardFigures], host: HostCost) -> str | None:
    """Return the budgets from which half as many cards do, and half of these, and so on."""
    found: list[tuple[int, int]] = []
    devices = plan.devices
    for budget_ms in _BUDGETS_MS:
        wish: Wish = replace(plan.wish, budget_s=budget_ms / 1e3)
        if wish.budget_s > plan.wish.budget_s and len(found) < _MOST_BUDGETS:
            fewer = make_plan(programs, wish, host).devices
            if fewer * 2 <= devices:
                found.append((budget_ms, fewer))
                devices = fewer
    if not found:
        return None
    steps = ", ".join(f"{budget_ms} ms: {counted(fewer, 'card')}" for budget_ms, fewer in found)
    return f"the budget leaves the cards idle (the busiest gives {plan.card_use:.0%}): with --latency-budget {steps}"
