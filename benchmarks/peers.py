"""The other libraries: an environment for each, made when it is first needed, and their runs as processes of their own.

Run by itself, it makes all environments under benchmarks/.venvs and says what is in them. To make one anew, delete its
folder.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".venvs"
COMMON = ("torch==2.13.0", "numpy", "safetensors", "scipy", "tqdm")  # at the versions of constraints.txt, as ours
OURS, BARE = "inputopt", "bare"  # run in the environment that runs this file


@dataclass(frozen=True)
class Peer:
    """A library: what is installed without what it asks for, what it really imports, and what stands in for the rest.

    There is no torchvision for a torch that was built without CUDA, and what is run here does not need it.
    """

    package: str
    needs: tuple[str, ...] = ()
    stubs: dict[str, str] = field(default_factory=dict)


PEERS = {
    "pyautoattack": Peer("pyautoattack==0.2.0"),
    "adv-lib": Peer(
        "adv-lib==0.2.8",
        needs=("setuptools<81",),  # for distutils, where Python has none
        stubs={
            "torchvision": "from torchvision import models, transforms\n",
            "torchvision/models": "",
            "torchvision/transforms": "",
            "visdom": "Visdom = None\n",
        },
    ),
    "torchattacks": Peer("torchattacks==3.5.1"),
    "foolbox": Peer("foolbox==3.3.4", needs=("eagerpy==0.30.0", "GitPython", "requests", "setuptools", "numba")),
    "lucent": Peer(
        "torch-lucent==0.1.8",
        needs=("kornia==0.4.1", "decorator", "future", "pillow", "scikit-learn", "setuptools"),
        stubs={
            "torchvision": "from torchvision import models, transforms\n",
            "torchvision/models": "",
            "torchvision/transforms": "Normalize = None\n",
            "IPython": "from IPython import display\n",
            "IPython/display": "",
        },
    ),
    "captum": Peer("captum==0.9.0", needs=("matplotlib", "packaging")),
    "art": Peer("adversarial-robustness-toolbox==1.20.1", needs=("scikit-learn", "six", "setuptools", "packaging")),
}


def interpreter(name: str) -> Path:
    """The Python of a peer's environment, which is made if there is none."""
    folder = ENVIRONMENTS / name
    ready = folder / "ready"  # written last: an environment that was left half made is made again
    if not ready.exists():
        print(f"making {folder}", file=sys.stderr, flush=True)
        make(PEERS[name], folder)
        ready.touch()
    return folder / "bin" / "python"


def make(peer: Peer, folder: Path) -> None:
    """Make the environment of one peer."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        HERE.parent / "constraints.txt",
    ]
    subprocess.run([*pip, *COMMON, *peer.needs], check=True)
    subprocess.run([*pip, "--no-deps", peer.package], check=True)
    if peer.stubs:
        place = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = Path(subprocess.check_output([folder / "bin" / "python", "-c", place], text=True).strip())
        for name, text in peer.stubs.items():
            stub = packages / name / "__init__.py"
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(text)


def run(who: str, work: dict[str, Any]) -> dict[str, Any]:
    """Do `work` in a process of its own and return what it found: the JSON in the last line that it prints."""
    if who == OURS:
        command = [sys.executable, HERE / "attacks.py", "--ours", json.dumps(work)]
    else:
        python = Path(sys.executable) if who == BARE else interpreter(who)
        command = [python, HERE / "peer_runs.py", who, json.dumps(work)]
    # threads that wait do not spin; HOME: one library writes its settings there
    surroundings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HOME": work["folder"]}
    started, busy, own = time.perf_counter(), processors_busy(), children_busy()
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{who} failed on {work}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if busy is not None and (busy_now := processors_busy()) is not None:
        others = busy_now - busy - (children_busy() - own)
        found["other_load"] = round(max(0.0, others) / (time.perf_counter() - started), 2)
    return found


def processors_busy() -> float | None:
    """Seconds that all processors together worked since the machine started, or were taken away; None if not told."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, fields)
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def children_busy() -> float:
    """Seconds of processor time that the processes run from here took."""
    taken = os.times()
    return taken.children_user + taken.children_system


if __name__ == "__main__":
    for known in PEERS:
        subprocess.run([interpreter(known), "-m", "pip", "list"], check=True)
