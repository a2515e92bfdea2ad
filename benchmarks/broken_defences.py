"""Robust accuracy of broken defences: by `evaluate`, by AutoAttack, and by attacks written by hand.

The defences and the attacks by hand are in tests/defences; `true_robustness.json` there has what these left robust.
All use the same 100 held-out digits, Linf 0.1. `--autoattack DIRECTORY` also runs AutoAttack's standard protocol (Croce
and Hein, 2020), from where `pip install --no-deps --target DIRECTORY pyautoattack` put it; minutes per defence.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import torch  # noqa: E402  # the next imports need the path above
from defences import DEFENCES, EPS, Defence  # noqa: E402
from defences.hand_attack import drawn  # noqa: E402
from defences.measure import final_judge, left_of, made, sample  # noqa: E402

import inputopt  # noqa: E402
from inputopt.cli.output import table  # noqa: E402
from inputopt.files import write_text  # noqa: E402
from inputopt.wilson_interval import wilson  # noqa: E402

TOLERANCE = 0.02


@dataclass(frozen=True)
class Row:
    """What was found for one defence; accuracies are None where the attack raised an error, which `error` is.

    Where `rejected`, both accuracies count an input in the reject class as withstood.
    """

    name: str
    late: bool
    expected: tuple[str, ...]
    fired: tuple[str, ...]
    reported: float | None
    by_hand: float
    seconds: float
    autoattack: float | None = None
    error: str = ""
    rejected: bool = False
    count: int = 0

    @property
    def flagged(self) -> bool:
        """Whether one of the expected indicators was reported."""
        return bool(set(self.expected) & set(self.fired))

    @property
    def above(self) -> float:
        """By how much the reported accuracy exceeds that by hand; NaN without one."""
        return float("nan") if self.reported is None else self.reported - self.by_hand


def run(defence: Defence, count: int, preset: Any, adapt: bool, autoattack: bool) -> Row:
    """Evaluate one defence on the first `count` digits of the sample."""
    x, y = sample(count)
    started, reported, fired, error, rejected = time.perf_counter(), None, (), "", False
    options: dict[str, Any] = {"adapt": True} if adapt else {}
    try:
        report = inputopt.evaluate(defence.make(), x, y, eps=EPS, preset=preset, seed=0, **options)
        reported, fired = report.robust_accuracy, tuple(each.id for each in report.indicators)
        if report.robust_accuracy_if_rejected is not None:
            reported, rejected = report.robust_accuracy_if_rejected, True
    except (ValueError, TypeError) as raised:
        error = str(raised)
    seconds = time.perf_counter() - started
    others = auto_attack(defence, x, y) if autoattack else None
    by_hand = left_of(defence.name, count, rejected=rejected)
    return Row(
        defence.name,
        defence.late,
        defence.indicators,
        fired,
        reported,
        by_hand,
        seconds,
        others,
        error,
        rejected,
        count,
    )


def auto_attack(defence: Defence, x: torch.Tensor, y: torch.Tensor) -> float | None:
    """Accuracy left by AutoAttack, its images judged as those by hand; None if it fails.

    The standard protocol, or that for random networks; its gradient-free part alone where others raise an error.
    """
    from pyautoattack import AutoAttack

    net = made(defence)
    version = "rand" if defence.random else "standard"
    settings = {"norm": "Linf", "eps": EPS, "seed": 0, "device": "cpu"}
    for chosen in ({"version": version}, {"version": "custom", "attacks": ["square"]}):
        with drawn(0):
            try:
                images = AutoAttack(net, **settings, **chosen).run_standard_evaluation(x, y, batch_size=len(x))
            except (RuntimeError, IndexError, ValueError, TypeError):
                continue
            images = images[0] if isinstance(images, tuple) else images
        clean, left = (final_judge(defence, net).correct(each, y) for each in (x, images))
        return torch.minimum(clean, left).mean().item()
    return None


def shown(rows: list[Row]) -> str:
    """The table as text."""
    heads = ["defence", "reported", "AutoAttack", "by hand", "above", "seconds", "flagged", "indicators"]
    cells = [
        [
            ("* " if row.late else "") + row.name + (" (rejected: withstood)" if row.rejected else ""),
            "error" if row.reported is None else _cell(row.reported, row.count),
            "-" if row.autoattack is None else _cell(row.autoattack, row.count),
            _cell(row.by_hand, row.count),
            f"{row.above:+.3f}",
            f"{row.seconds:.1f}",
            "yes" if row.flagged else "NO",
            ", ".join(row.fired) or row.error[:60],
        ]
        for row in rows
    ]
    missed = sum(not row.flagged for row in rows)
    wrong = sum(not row.above <= TOLERANCE for row in rows)
    end = (
        f"{missed} of {len(rows)} not flagged; {wrong} above the accuracy by hand by more than {TOLERANCE}, or an error"
    )
    return f"{table(heads, cells)}\n{end}\n* in other styles: added so that remedies and indicators are not fitted"


def _cell(share: float, count: int) -> str:
    """An accuracy with its 95 % interval."""
    low, high = wilson(share, count)
    return f"{share:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Run the defences that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of defences; default: all")
    parser.add_argument("--count", type=int, default=100, help="digits, at most 100 (default: 100)")
    parser.add_argument("--preset", default="standard", help="preset of evaluate (default: standard)")
    parser.add_argument("--adapt", action="store_true", help="evaluate with adapt=True")
    parser.add_argument("--autoattack", type=Path, metavar="DIRECTORY", help="run pyautoattack from there as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to this file")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in DEFENCES]
    if unknown:
        parser.error(f"no defence is called {unknown[0]!r}; choose from {', '.join(DEFENCES)}")
    if arguments.autoattack is not None:
        sys.path.append(str(arguments.autoattack))
    rows = []
    for name in arguments.names or DEFENCES:
        rows.append(
            run(DEFENCES[name], arguments.count, arguments.preset, arguments.adapt, arguments.autoattack is not None)
        )
        print(f"{name} ({rows[-1].seconds:.0f} s)", file=sys.stderr, flush=True)
        if arguments.json is not None:
            write_text(arguments.json, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(shown(rows))


if __name__ == "__main__":
    main()
