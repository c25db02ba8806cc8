"""Settings that an app sets while its children run: checked before anything is ordered."""

from collections.abc import Mapping, Sequence
from typing import Any

from .. import defaults_config
from ..common.config import rows_of, unknown_key
from ..common.errors import ConfigError
from ..common.problem import Problems
from .child_config import Plan


def checked(plans: Sequence[Plan], settings: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(state folder, values) for each child that has one of these settings.

    ConfigError where no child has one of them, where it is not live, or where a value is wrong.
    """
    found = {plan.state_dir: (plan.extension, rows_of(defaults_config.SETTINGS, plan.extension)) for plan in plans}
    known = {key: row for _, rows in found.values() for key, row in rows.items()}
    if not settings:
        raise ConfigError("set", "no setting is named", "Give at least one: set(RateLimit=50_000).")
    problems = Problems()
    for key in settings:
        if key not in known:
            problems.take(unknown_key("set", key, [name for name, row in known.items() if row.live]))
        elif not known[key].live:
            problems.add(("set", key), "a running child does not take it", "Change the config and reset the master.")
    orders = []
    for state_dir, (extension, rows) in found.items():
        values = {}
        for key, value in settings.items():
            if key in rows and rows[key].live:
                with problems:
                    values[key] = rows[key].check(extension, value)
        if values:
            orders.append((state_dir, values))
    problems.raise_all()
    return orders
