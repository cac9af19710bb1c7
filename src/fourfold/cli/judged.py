"""How commands show what was judged."""

from collections.abc import Mapping
from typing import Any

from fourfold.cli.console import table


def actions_table(found: Mapping[str, Any]) -> Any:
    """The metrics of each action, or a line that says there are none."""
    columns = ["action", ">impressions", ">positives", ">AUC", ">95 %", ">in member", ">popularity", ">NE", ">ECE"]
    rows = [
        [name, m.impressions, m.positives, m.auc, span(m.auc_ci), m.member_auc, m.popularity_auc, m.ne, m.ece]
        for name, m in found.items()
    ]
    if not rows:
        return "no impression after training to judge on"
    return table("Each impression judged with what happened before it", columns, rows)


def span(interval: tuple[float, float] | None) -> str | None:
    """An interval as text."""
    return None if interval is None else f"{interval[0]:.3f}-{interval[1]:.3f}"
