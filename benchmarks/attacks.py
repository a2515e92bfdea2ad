"""inputopt's attacks and evaluations beside other libraries' on the digits: what is left robust, and how long it takes.

Every run is a process of its own, one at a time; ours and the peers' take turns. Sections: `pgd`, PGD with 40 steps;
`autoattack`, the AutoAttack protocol against the presets of inputopt.evaluate; `alma`, a network trained against Linf
and attacked in L2. The peers' environments are made at the first run; see README.md beside this file.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: threads that wait do not spin

import bare
import numpy as np
import torch
from peers import BARE, OURS, run
from safetensors.torch import save_file

import inputopt
from inputopt.attacks.batches import batches
from inputopt.cli.output import table
from inputopt.search.problem import Problem
from inputopt.zoo.digits import load_digits

NETWORKS = ("digits-mlp", "digits-cnn", "digits-cnn-robust")
ROBUST = NETWORKS[2]
LONG = 20.0  # seconds; what takes longer is run once
PRESETS = ("quick", "standard", "thorough")
PGD = {"norm": "linf", "eps": 0.1, "step": 0.01, "steps": 40, "count": 1000}
PGD_PEERS = {"torchattacks": "torchattacks", "foolbox": "foolbox", "ART": "art"}
PGD_TIME = {"digits-mlp": 1 / 4, "digits-cnn": 1 / 2, ROBUST: 0.9}  # of the fastest peer's
OVERHEAD = 1.05
PRESET_TIME = {"quick": 1 / 100, "standard": 1 / 25, "thorough": 1 / 3}  # of AutoAttack's
ALMA_TIME = 1 / 15
EPS = {
    name: {"linf": 0.2, "l2": 2.0} if name == ROBUST else {"linf": 0.1, "l2": 1.0} for name in NETWORKS
}  # for AutoAttack

Contestant = tuple[str, bare.Work]  # who runs it, and what


@dataclass(frozen=True)
class Target:
    """A target: a robust accuracy and a share of another's time, and what each may be at most; None where not asked.

    `below`: the accuracy has to be lower than the limit, not only as low.
    """

    what: str
    accuracy: float | None = None
    accuracy_limit: float | None = None
    time: float | None = None
    time_limit: float | None = None
    below: bool = False

    @property
    def met(self) -> bool:
        fine = True
        if self.accuracy is not None and self.accuracy_limit is not None:
            slack = -1e-9 if self.below else 1e-9  # accuracies are counts over one number
            fine = self.accuracy <= self.accuracy_limit + slack
        return fine and (self.time is None or self.time_limit is None or self.time <= self.time_limit)

    def row(self) -> list[str]:
        limit = ("below " if self.below else "") + share(self.accuracy_limit)
        return [
            self.what,
            share(self.accuracy),
            limit,
            part(self.time),
            part(self.time_limit),
            "yes" if self.met else "NO",
        ]


@dataclass
class Bench:
    """The runs so far, and how many rounds short ones get."""

    folder: str
    rounds: int
    count: int | None
    taken: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def compare(self, contestants: dict[str, Contestant]) -> dict[str, dict[str, Any]]:
        """What each found, and its median seconds. They take turns; what has its runs already is not run again."""
        keys = {name: json.dumps(contestant) for name, contestant in contestants.items()}
        fresh = [name for name in contestants if keys[name] not in self.taken]
        for number in range(self.rounds):
            for name in fresh:
                runs = self.taken.setdefault(keys[name], [])
                if not runs or runs[0]["seconds"] < LONG:
                    runs.append(self.once(*contestants[name], f"{name}, round {number + 1}"))
        found = {}
        for name, key in keys.items():
            runs = self.taken[key]
            found[name] = {**runs[0], "seconds": median(figures["seconds"] for figures in runs)}
        return found

    def once(self, who: str, work: bare.Work, name: str) -> dict[str, Any]:
        """One run."""
        work = {**work, "folder": self.folder, "count": self.count or work["count"]}
        found = run(who, work)
        shown = {key: found[key] for key in ("robust", "seconds", "other_load") if key in found}
        where = f"{work['network']} {work['norm']} {work['eps']}"
        print(f"  {where}: {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in shown.items()), file=sys.stderr)
        return found

    def show(self, title: str, found: dict[str, dict[str, Any]], beside: str) -> None:
        """Print a row a contestant; times also as parts of that of `beside`."""
        rows = [
            [
                name,
                share(figures.get("robust")),
                f"{figures['seconds']:.3f}",
                part(figures["seconds"] / found[beside]["seconds"]),
                f"{figures['forwards']:,.1f}",
                f"{figures['backwards']:,.1f}",
            ]
            for name, figures in found.items()
        ]
        heads = [
            "",
            "robust accuracy",
            "seconds",
            f"relative to {beside}",
            "forwards per example",
            "backwards per example",
        ]
        print(f"\n{title}\n\n{table(heads, rows)}", flush=True)

    def judge(self, targets: list[Target]) -> None:
        """Print targets, and keep them."""
        heads = ["target", "accuracy", "limit", "relative time", "limit", "met"]
        print(f"\n{table(heads, [target.row() for target in targets])}", flush=True)
        self.targets += targets


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def part(value: float | None) -> str:
    """A ratio, as 1/n where it is small."""
    return "" if value is None else f"1/{1 / value:.1f}" if value < 0.5 else f"{value:.2f}"


def compare_pgd(bench: Bench) -> None:
    """PGD with 40 steps from a random point, the peers' of a tenth of eps; and the same with no library around it."""
    for network in NETWORKS:
        work = {**PGD, "attack": "pgd", "network": network}
        sizes = bench.once(OURS, work, "to record the batch sizes")["batches"]
        peers = {name: (who, work) for name, who in PGD_PEERS.items()}
        at = (BARE, {**work, "attack": "pgd at", "batches": sizes})
        same = (OURS, {**work, "constant": True})
        contestants = {"inputopt": (OURS, work), "inputopt, step size of the other libraries": same}
        found = bench.compare({**contestants, **peers, "plain loop": (BARE, work), "plain loop, our batch sizes": at})
        fastest = min(peers, key=lambda name: found[name]["seconds"])
        for figures in found.values():
            figures["microseconds"] = figures["seconds"] / figures["forwards"] * 1e6 / (bench.count or work["count"])
        found["plain loop, our batch sizes"].pop("robust")  # it only works as long; it attacks nobody
        bench.show(f"PGD, 40 steps, Linf 0.1, {network}", found, fastest)
        ours, bare_loop, bare_at = found["inputopt"], found["plain loop"], found["plain loop, our batch sizes"]
        print(
            "\nmicroseconds per forward and backward pass of an example not yet fooled: "
            f"inputopt {ours['microseconds']:.1f}, plain loop {bare_loop['microseconds']:.1f}, "
            f"plain loop at our batch sizes {bare_at['microseconds']:.1f}"
        )
        lowest = min(found[name]["robust"] for name in peers)
        time = ours["seconds"] / found[fastest]["seconds"]
        targets = [Target(f"PGD {network}, compared with {fastest}", ours["robust"], lowest, time, PGD_TIME[network])]
        if network == ROBUST:
            over = ours["seconds"] / bare_at["seconds"]
            targets.append(Target(f"PGD {network}, compared with the plain loop", time=over, time_limit=OVERHEAD))
        bench.judge(targets)


def evaluation(network: str, norm: str) -> dict[str, Contestant]:
    """AutoAttack and our presets."""
    work = {"network": network, "norm": norm, "eps": EPS[network][norm], "count": 500}
    ours = {preset: (OURS, {**work, "attack": "evaluate", "preset": preset}) for preset in PRESETS}
    return {"AutoAttack": ("pyautoattack", {**work, "attack": "autoattack"}), **ours}


def compare_autoattack(bench: Bench) -> None:
    """AutoAttack's standard protocol against our presets, on every network in Linf and L2."""
    gains = []
    for network in NETWORKS:
        for norm, eps in EPS[network].items():
            found = bench.compare(evaluation(network, norm))
            bench.show(f"{norm} {eps}, {network}", found, "AutoAttack")
            peer, targets = found["AutoAttack"], []
            for preset in PRESETS:
                limit = peer["robust"] + (0.01 if preset == "quick" else 0)
                time, what = found[preset]["seconds"] / peer["seconds"], f"{preset}, {norm}, {network}"
                targets.append(Target(what, found[preset]["robust"], limit, time, PRESET_TIME[preset]))
            gains.append(found["thorough"]["robust"] - peer["robust"])
            bench.judge(targets)
    bench.judge([Target("thorough minus AutoAttack, lowest of all", min(gains), 0.0, below=True)])


def compare_alma(bench: Bench) -> None:
    """A network trained against Linf, attacked in L2."""
    found = evaluation(ROBUST, "l2")
    alma = {key: value for key, value in found["AutoAttack"][1].items() if key != "attack"}
    for steps in (200, 1000):
        found[f"ALMA {steps}"] = ("adv-lib", {**alma, "attack": "alma", "steps": steps})
    del found["quick"]
    runs = bench.compare(found)
    bench.show(f"L2 {EPS[ROBUST]['l2']}, {ROBUST}, with ALMA", runs, "AutoAttack")
    standard, thorough = runs["standard"], runs["thorough"]
    limit = min(runs["AutoAttack"]["robust"], runs["ALMA 200"]["robust"])
    time = standard["seconds"] / runs["AutoAttack"]["seconds"]
    bench.judge(
        [
            Target("standard, compared with AutoAttack and ALMA 200", standard["robust"], limit, time, ALMA_TIME),
            Target("thorough, compared with ALMA 1000", thorough["robust"], runs["ALMA 1000"]["robust"], below=True),
        ]
    )


SECTIONS = {"pgd": compare_pgd, "autoattack": compare_autoattack, "alma": compare_alma}


def ours(work: bare.Work) -> dict[str, Any]:
    """One run of inputopt, judged and timed as the peers' are."""
    model = inputopt.Frozen(inputopt.load(work["network"]))
    found: Any = None

    def attack(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        nonlocal found
        if work["attack"] == "evaluate":
            found = inputopt.evaluate(model, x, y, work["norm"], work["eps"], work["preset"])
        else:
            size = work["step"] / work["eps"] if work.get("constant") else None
            found = inputopt.attacks.PGD(work["norm"], work["eps"], steps=work["steps"], step_size=size)(model, x, y)
        return found.x

    figures = {**bare.measured(work, model, attack), "torch": torch.__version__, "version": inputopt.__version__}
    if work["attack"] == "evaluate":
        return {**figures, "own_figure": found.robust_accuracy}
    x, y = bare.digits(work)
    parts = [found.forwards[rows] for rows in batches(model, Problem(x, y, torch.arange(len(x))))]
    return {**figures, "batches": [[int((part > k).sum()) for k in range(int(part.max()))] for part in parts]}


def write_inputs(folder: Path) -> None:
    """The digits and the networks, for processes that know nothing of inputopt."""
    data = load_digits()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.held_y)))  # the classes mixed
    x, y = data.held_x[order], data.held_y[order]
    np.savez(folder / "digits.npz", x=x.numpy(), y=y.numpy())
    for name in NETWORKS:
        save_file(inputopt.load(name).state_dict(), folder / f"{name}.safetensors")


def machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS), help="sections (all)")
    parser.add_argument("--count", type=int, help="digits in every section, up to 1,000 (1,000 for pgd, else 500)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of what takes less than 20 s (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures here")
    parser.add_argument("--ours", metavar="WORK", type=json.loads, help=argparse.SUPPRESS)  # how this file calls itself
    options = parser.parse_args()
    if options.ours:
        bare.tell(ours(options.ours))
        sys.exit()
    with tempfile.TemporaryDirectory() as temporary:
        before = machine()
        write_inputs(Path(temporary))
        bench = Bench(temporary, options.rounds, options.count)
        for section in options.only:
            SECTIONS[section](bench)
    met = sum(target.met for target in bench.targets)
    print(f"\n{met} of {len(bench.targets)} targets met; {before['processors']} processors, torch {before['torch']}")
    loads = [figures["other_load"] for taken in bench.taken.values() for figures in taken if "other_load" in figures]
    if loads:
        print(f"processors used by other processes during a run: median {median(loads)}, maximum {max(loads)}")
    if options.json:
        runs = [{"who": json.loads(key), "runs": taken} for key, taken in bench.taken.items()]
        targets = [{**asdict(target), "met": target.met} for target in bench.targets]
        raw = {"before": before, "after": machine(), "runs": runs, "targets": targets}
        Path(options.json).write_text(json.dumps(raw, indent=2) + "\n")
