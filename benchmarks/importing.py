"""Time from a fresh process to the first use of a public name, over `import torch` alone.

Each measurement is a process of its own, in turns, with compiled modules as after a first import; processor time, so
that other processes disturb little.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

NAMES = ["MLP", "load", "Frozen", "train", "attacks.PGD", "search.optimise", "fool", "dream", "evaluate", "api"]

CODE = """
import sys, time, torch
start = time.process_time()
import inputopt
found = inputopt
for name in sys.argv[1].split("."):
    found = getattr(found, name)
print(time.process_time() - start)
"""


def main() -> None:
    """Print the median and the least time of each name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="processes per name")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(-1, arguments.runs):  # the first writes the compiled modules
            for name in NAMES:
                command = [sys.executable, "-c", CODE, name]
                run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                if turn >= 0:
                    seconds[name].append(float(run.stdout))
    print(f"{'first use of':24}  {'median':>7}  {'least':>7}")
    for name, times in seconds.items():
        print(f"inputopt.{name:15}  {statistics.median(times):5.3f} s  {min(times):5.3f} s")


if __name__ == "__main__":
    main()
