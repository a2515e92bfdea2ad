"""Run the other libraries' code of docs/coming_from.md, each block in the environment of its library.

`python benchmarks/coming_from.py [NAME ...]` prints one line per library. The blocks find `net`, `x` and `y` as the
page describes them, in plain PyTorch. Environments that do not exist are created first (see `peers.py`).
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import HERE, PEERS, interpreter
from safetensors.torch import save_file

import inputopt
from inputopt.zoo.digits import load_digits

PAGE = HERE.parent / "docs" / "coming_from.md"
BLOCK = re.compile(r"^```python peer:(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = """
import sys
sys.path.insert(0, {benchmarks!r})
import torch
from safetensors.torch import load_file
data = load_file("data.safetensors")
x, y = data["x"], data["y"]
"""
DIGITS = 'from bare import MLP\nnet = MLP()\nnet.load_state_dict(load_file("digits-mlp.safetensors"))\nnet.eval()\n'
LITE = 'from one_channel import network\nnet = network("efficientnet-lite0.safetensors")\n'


def write_data(folder: Path) -> None:
    """The digits and the weights of both networks."""
    digits = load_digits()
    x, y = digits.held_x[::20].contiguous(), digits.held_y[::20].contiguous()
    save_file({"x": x, "y": y}, folder / "data.safetensors")
    for name in ("digits-mlp", "efficientnet-lite0"):
        save_file(inputopt.load(name).state_dict(), folder / f"{name}.safetensors")


def main(chosen: list[str]) -> int:
    """Run the blocks of the chosen libraries, all if none is named; return the number of failures."""
    failures = 0
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        write_data(folder)
        for name, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if chosen and name not in chosen:
                continue
            script = folder / "block.py"
            network = LITE if name == "lucent" else DIGITS
            script.write_text(BEFORE.format(benchmarks=str(HERE)) + network + code, encoding="utf-8")
            done = subprocess.run(
                [interpreter(name), script],
                cwd=folder,
                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HOME": path},  # one library writes its settings there
                capture_output=True,
                text=True,
                check=False,
            )
            failures += done.returncode != 0
            print(f"{name}: {'runs' if done.returncode == 0 else done.stderr.strip().splitlines()[-1]}", flush=True)
    return failures


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(PEERS):
        sys.exit(f"No such library: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}.")
    sys.exit(main(sys.argv[1:]) > 0)
