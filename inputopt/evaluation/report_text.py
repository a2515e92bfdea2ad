"""Percentages, distances, settings and JSON values as a report gives them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from inputopt.wilson_interval import percent as percent
from inputopt.wilson_interval import with_interval as with_interval

NORM_NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
"""Names of the norms as leaderboards and papers give them."""

SHORT = 6
"""Characters of a decimal number, such as 0.0625, that is shown as it is."""


def unit_range(settings: Mapping[str, Any]) -> bool:
    """Whether the model's inputs lie in 0 to 1, or their range is not recorded."""
    return list((settings.get("model") or {}).get("bounds", (0, 1))) == [0, 1]


def eps_text(eps: Any, unit: bool = True) -> str:
    """One distance, or the range of several, given as nested lists; 8-bit levels as fractions of 255 if `unit`.

    >>> eps_text(0.25), eps_text(8 / 255), eps_text([[0.1, 0.2], [0.3, 0.1]])
    ('0.25', '8/255', '0.1 to 0.3')
    """
    if not isinstance(eps, list):
        levels = round(255 * eps) if math.isfinite(eps) and unit else 0
        exact = levels and abs(255 * eps - levels) < 1e-6 * levels
        return f"{levels}/255" if exact and len(f"{eps:g}") > SHORT else f"{eps:g}"
    low, high = min(_numbers(eps)), max(_numbers(eps))
    return eps_text(low, unit) if low == high else f"{eps_text(low, unit)} to {eps_text(high, unit)}"


def _numbers(nested: Any) -> Iterable[float]:
    if isinstance(nested, list):
        for each in nested:
            yield from _numbers(each)
    else:
        yield float(nested)


def threat_model(settings: Mapping[str, Any]) -> str | None:
    """The norm as a leaderboard names it; None if the settings have none."""
    norm = settings.get("norm")
    return None if norm is None else NORM_NAMES.get(norm, str(norm))


def inputs_text(settings: Mapping[str, Any], count: int) -> str:
    """How many inputs were evaluated, of how many, and how they were chosen.

    >>> inputs_text({"data": "digits", "of": 900, "sampling": "stratified by class, seed 0"}, 100)
    '100 of 900 inputs of digits, stratified by class, seed 0'
    >>> inputs_text({}, 1)
    '1 input'
    """
    of = f" of {settings['of']:,}" if "of" in settings else ""
    data = f" of {settings['data']}" if "data" in settings else ""
    sampling = f", {settings['sampling']}" if settings.get("sampling") and settings.get("of", count) != count else ""
    resized = " resized to {} x {}".format(*settings["resize"]) if "resize" in settings else ""
    return f"{count:,}{of} input{'s' * (count != 1)}{data}{resized}{sampling}"


def evaluation_method(settings: Mapping[str, Any]) -> str | None:
    """The tool, its version, the protocol and the inputs in one line; None without settings."""
    if "preset" not in settings:
        return None
    version = settings.get("versions", {}).get("inputopt", "")
    inputs = inputs_text(settings, int(settings.get("count", 0)))
    return (
        f"inputopt {version}, preset {settings['preset']}, seed {settings.get('seed')}{and_levels(settings)}, {inputs}"
    )


def levels_text(settings: Mapping[str, Any]) -> str:
    """The levels that the inputs were restricted to, in words; empty if they were not.

    >>> levels_text({"levels": 256}), levels_text({"levels": 16}), levels_text({})
    ('8-bit inputs', 'inputs of 16 levels', '')
    """
    levels = settings.get("levels")
    return "" if levels is None else "8-bit inputs" if levels == 256 else f"inputs of {levels} levels"


def ball_text(settings: Mapping[str, Any]) -> str:
    """Norm, eps and levels of an evaluation.

    >>> ball_text({"norm": "linf", "eps": 0.1, "levels": 256})
    'linf 0.1, 8-bit inputs'
    """
    return f"{settings['norm']} {eps_text(settings['eps'])}{and_levels(settings)}"


def and_levels(settings: Mapping[str, Any]) -> str:
    """`levels_text` behind a comma; empty without levels."""
    text = levels_text(settings)
    return f", {text}" if text else ""


def json_value(value: Any) -> Any:
    """The value with infinities as "inf" and "-inf" and NaN as None, in lists, tuples and dicts too.

    >>> json_value({"low": [-math.inf, 0.5], "ratio": math.nan})
    {'low': ['-inf', 0.5], 'ratio': None}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {name: json_value(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    return value
