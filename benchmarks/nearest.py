"""Minimal-norm attacks on the digits, ours beside adv-lib's and foolbox's: how near is the nearest that fools it?

Every run is a process of its own, one at a time, with the same budget of forwards and backwards a digit; of a peer's
run the nearest input that it ever tried counts, whatever it returned. LO is local optimality as AttackBench has it: 1
is the nearest that any attack of the whole table found, for every digit. With --json FILE, runs that FILE holds are not
made again, so that a long comparison can be gone on with.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: threads that wait do not spin

import bare
import torch
from attacks import write_inputs
from peers import OURS, interpreter

import inputopt
from inputopt import attacks
from inputopt.cli.output import table
from inputopt.evaluation.robustness_curve import robustness_area

HERE = Path(__file__).resolve().parent
NETWORKS = ("digits-mlp", "digits-cnn-robust")
PORTFOLIO = "MinimalNorm"
SHORT = 500  # queries, against the best peer's with all
TARGETS = {"l0": 0.995, "l1": 0.99, "l2": 0.99, "linf": 0.99}
OF_PEER = 0.98
PEERS = {
    "l0": {"adv-lib": ("SigmaZero", "FMN", "PDPGD", "VFGA"), "foolbox": ("FMN",)},
    "l1": {
        "adv-lib": ("FMN", "PDPGD", "ALMA", "FAB", "TargetedFAB", "Minimal APGD", "Minimal TargetedAPGD"),
        "foolbox": ("EAD",),
    },
    "l2": {
        "adv-lib": (
            "DDN", "FMN", "PDPGD", "PDGD", "ALMA", "FAB", "TargetedFAB", "CarliniWagner", "DeepFool", "SuperDeepFool",
            "TrustRegion", "Minimal APGD", "Minimal TargetedAPGD",
        ),
        "foolbox": ("CarliniWagner", "DDN", "DeepFool"),
    },
    "linf": {
        "adv-lib": (
            "FMN", "PDPGD", "FAB", "TargetedFAB", "DeepFool", "TrustRegion", "Minimal APGD", "Minimal TargetedAPGD",
        ),
        "foolbox": ("DeepFool",),
    },
}  # fmt: skip
SLOW = ("foolbox", "BrendelBethge", SHORT)  # some 12 ms a step and digit: ten minutes a run with fewer queries


def ours(norm: str, queries: int) -> dict[str, Any]:
    """Our attacks in one norm, with what steps the budget allows."""
    steps = (queries - 1) // 2  # the last point is scored too
    every = {
        PORTFOLIO: attacks.MinimalNorm(norm, queries),
        "FMN": attacks.FMN(norm, steps=steps),
        "PDPGD": attacks.PDPGD(norm, steps=steps - 17),
    }
    if norm == "l0":
        return {**every, "SigmaZero": attacks.SigmaZero(steps=steps), "JSMA": attacks.JSMA()}
    every |= {
        "FAB": attacks.FAB(norm, steps=(queries - 1) // 10),
        "TargetedFAB": attacks.TargetedFAB(norm, steps=queries // 18 - 1),
        "Minimal APGD": attacks.EpsilonBisection(attacks.APGD(norm, steps=steps // 10, loss="dlr")),
        "Minimal TargetedAPGD": attacks.EpsilonBisection(attacks.TargetedAPGD(norm, steps=steps // 32, targets=3)),
    }
    if norm == "linf":
        return {**every, "DeepFool": attacks.DeepFool(norm), "TrustRegion": attacks.TrustRegion(norm)}
    every["ALMA"] = attacks.ALMA(norm, steps=steps)
    if norm == "l1":
        return {**every, "EAD": attacks.EAD(steps=steps, rate=0.05, weight=1.0)}
    return {
        **every,
        "DDN": attacks.DDN(steps=steps),
        "PDGD": attacks.PDGD(steps=steps),
        "CarliniWagner": attacks.CarliniWagner(steps=steps, rate=0.05, weight=1.0),
        "DeepFool": attacks.DeepFool(norm),
        "SuperDeepFool": attacks.SuperDeepFool(steps=queries // 10 - 2),
        "TrustRegion": attacks.TrustRegion(norm),
    }


def run_ours(work: bare.Work) -> dict[str, Any]:
    """One run of ours; what counts is what it returns, judged by the bare network."""
    x, y = bare.digits(work)
    model = inputopt.Frozen(inputopt.load(work["network"]))
    attack = ours(work["norm"], work["queries"])[work["attack"]]
    started = time.perf_counter()
    found = attack(model, x, y)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        fooled = bare.network(work)(found.x).argmax(1) != y
    return {
        "distance": found.distance.masked_fill(~fooled, torch.inf).tolist(),
        "seconds": seconds,
        "forwards": float(found.forwards.double().mean()),
        "backwards": float(found.backwards.double().mean()),
        "most": int((found.forwards + found.backwards).max()),
        "version": inputopt.__version__,
    }


def run(who: str, work: bare.Work) -> dict[str, Any]:
    """Do `work` in a process of its own."""
    script = (
        [sys.executable, HERE / "nearest.py", "--ours"]
        if who == OURS
        else [interpreter(who), HERE / "nearest_peers.py", who]
    )
    surroundings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HOME": work["folder"]}
    done = subprocess.run([*script, json.dumps(work)], env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{who} failed on {work}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def contestants(norm: str, queries: int, slow: bool) -> list[tuple[str, str, int]]:
    """(who, attack, queries) of every run in one norm, ours and the peers' of one attack beside each other."""
    mine = [(OURS, name, queries) for name in ours(norm, queries)]
    theirs = [(who, name, queries) for who, names in PEERS[norm].items() for name in names]
    return [*sorted(mine + theirs, key=lambda one: one[1]), (OURS, PORTFOLIO, SHORT), *([SLOW] if slow else [])]


def made(network: str, norm: str, options: argparse.Namespace, folder: str, held: dict[str, Any]) -> dict[Any, Any]:
    """The runs of one network and norm by (who, attack, queries); those that `held` lacks are made, and kept there."""
    found = {}
    for who, attack, queries in contestants(norm, options.queries, options.slow):
        if options.peers and who == OURS:
            continue
        key = "|".join((network, norm, who, attack, str(queries), str(options.count)))
        if key not in held:
            print(f"  {key}", file=sys.stderr, flush=True)
            work = {"network": network, "norm": norm, "attack": attack, "queries": queries}
            held[key] = run(who, {**work, "count": options.count, "folder": folder})
            if options.json:
                Path(options.json).write_text(json.dumps(held) + "\n")
        found[who, attack, queries] = held[key]
    return found


def compare(network: str, norm: str, options: argparse.Namespace, found: dict[Any, Any]) -> list[list[str]]:
    """Print the table of one network's and norm's runs, and return the rows of its targets."""
    distance = {one: torch.tensor(run["distance"], dtype=torch.float64) for one, run in found.items()}
    optimal = optimality(distance)
    rows = [
        [
            attack + (f", {queries} queries" if queries != options.queries else ""),
            who,
            f"{optimal[who, attack, queries]:.4f}",
            f"{float(distance[who, attack, queries].median()):.4g}",
            str(int(torch.isinf(distance[who, attack, queries]).sum())),
            *(f"{found[who, attack, queries][name]:,.0f}" for name in ("forwards", "backwards")),
            f"{found[who, attack, queries]['seconds']:.1f}",
        ]
        for who, attack, queries in sorted(found, key=lambda one: -optimal[one])
    ]
    heads = ["attack", "library", "LO", "median distance", "failed", "forwards", "backwards", "seconds"]
    print(f"\n{norm}, {network}, {options.count} digits\n\n{table(heads, rows)}", flush=True)
    return [] if options.peers else targets(network, norm, options.queries, optimal)


def optimality(distance: dict[Any, torch.Tensor]) -> dict[Any, float]:
    """Each run's local optimality: the area it takes away under the curve, of what the best of all takes away."""
    best = torch.stack(list(distance.values())).amin(0)
    most = float(best[torch.isfinite(best)].max())
    least = robustness_area(best, most)
    return {one: (most - robustness_area(each, most)) / (most - least) for one, each in distance.items()}


def targets(network: str, norm: str, queries: int, optimal: dict[tuple[str, str, int], float]) -> list[list[str]]:
    """Rows: what, the figure, the least it may be, met or not."""
    portfolio = optimal[OURS, PORTFOLIO, queries]
    peers = max(value for (who, _, _), value in optimal.items() if who != OURS)
    others = max(value for one, value in optimal.items() if one[1] != PORTFOLIO)
    where = f"{norm}, {network}"
    rows = [
        (f"{where}: {PORTFOLIO}", portfolio, TARGETS[norm]),
        (f"{where}: {PORTFOLIO}, compared with the best single attack", portfolio, others),
        (
            f"{where}: {PORTFOLIO} with {SHORT} queries, compared with the best peer",
            optimal[OURS, PORTFOLIO, SHORT],
            peers,
        ),
    ]
    for (who, attack, _), value in optimal.items():
        if who != OURS and (OURS, attack, queries) in optimal:
            rows.append((f"{where}: {attack}, compared with {who}", optimal[OURS, attack, queries], OF_PEER * value))
    return [[what, f"{value:.4f}", f"{least:.4f}", "yes" if value >= least else "NO"] for what, value, least in rows]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--norms", choices=list(PEERS), nargs="+", default=list(PEERS))
    parser.add_argument("--count", type=int, default=200, help="digits (%(default)s)")
    parser.add_argument("--queries", type=int, default=2000, help="forwards and backwards a digit (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="keep the runs here, and go on from there")
    parser.add_argument("--slow", action="store_true", help="foolbox's Brendel-Bethge attack as well")
    parser.add_argument("--peers", action="store_true", help="only the peers' runs, which do not change with ours")
    parser.add_argument("--ours", metavar="WORK", type=json.loads, help=argparse.SUPPRESS)  # how this file calls itself
    options = parser.parse_args()
    if options.ours:
        bare.tell(run_ours(options.ours))
        sys.exit()
    held = json.loads(Path(options.json).read_text()) if options.json and Path(options.json).exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        write_inputs(Path(temporary))
        rows = [
            row
            for network in options.networks
            for norm in options.norms
            for row in compare(network, norm, options, made(network, norm, options, temporary, held))
        ]
    if rows:
        print(f"\n{table(['target', 'local optimality', 'at least', 'met'], rows)}")
    print(f"\n{sum(row[-1] == 'yes' for row in rows)} of {len(rows)} targets met; torch {torch.__version__}")
