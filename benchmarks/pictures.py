"""inputopt's pictures beside the loops that people write by hand: how long, how much memory, and how far they get.

Sections: `dream`, a dream of china.jpg at 640 x 427 along `blocks.8` of EfficientNet-Lite0, four octaves of ratio 1.8
with ten steps each, beside a plain loop; `large`, the memory of a photo of 4,000 x 3,000; `channel`, a step of one
channel of `blocks.8` at 128 pixels, beside a loop written by hand and torch-lucent, which gets an environment of its
own; `hooks`, what is left on the network. Every run is a process of its own, one at a time, and the contestants take
turns. The extra `images` and scikit-learn must be installed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: threads that wait do not spin

import one_channel
import peers
import torch
from PIL import Image
from plain_dream import LAYER, OCTAVES, SCALE, SIZE, STEPS, plain
from safetensors.torch import save_file
from torch import Tensor

import inputopt
from inputopt.cli.output import table
from inputopt.pictures.picture import read_photo

NETWORK = "efficientnet-lite0"
TIME, MEMORY, LARGE = 0.4, 0.65, 600  # of the plain loop's, of the plain loop's, and MB
BARE, LUCENT = 1.25, 0.25  # a step of one channel: of the bare loop's, of lucent's
CHANNEL_STEPS = 40
SEEDS = 8  # of dreams whose objectives are compared; one dream alone decides nothing, see `no_lower`


# ------------------------------------------------------------------------------------------------------ the contestants
def china() -> Path:
    """The photo, as scikit-learn ships it."""
    return Path(find_spec("sklearn").origin).parent / "datasets" / "images" / "china.jpg"


def ours(photo: Tensor, net: inputopt.Frozen, seed: int, smoothing: float = 0.0) -> Tensor:
    """The same search by inputopt."""
    settings = {"octaves": OCTAVES, "octave_scale": SCALE, "steps": STEPS, "step_size": SIZE}
    return inputopt.dream(net, photo[0], [LAYER], **settings, smoothing=smoothing, seed=seed).x[None]


def smoothed(photo: Tensor, net: inputopt.Frozen, seed: int) -> Tensor:
    """As inputopt dreams if it is not told otherwise: with the gradient smoothed."""
    return ours(photo, net, seed, 1.0)


CONTESTANTS = {"plain": plain, "ours": ours, "smoothed": smoothed}


# ----------------------------------------------------------------------------------------------------- inside a process
def memory(what: str) -> float:
    """`VmRSS`, what the process holds, or `VmHWM`, the most it held, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def forget_peak() -> None:
    """Let the most that was held be what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def dream_once(who: str, seed: int) -> dict[str, float]:
    """One dream; memory above the loaded network, which for ours is the frozen one."""
    photo, user = read_photo(china())[None], inputopt.load(NETWORK)
    net = user if who == "plain" else inputopt.Frozen(user)
    with torch.no_grad():
        net(photo[:, :, :64, :64])  # what is made at the first call belongs to the network
    before = memory("VmRSS")
    forget_peak()
    started, busy = time.perf_counter(), time.process_time()
    found = CONTESTANTS[who](photo, net, seed)
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}
    return {**spent, "memory": memory("VmHWM") - before, "objective": objective(user, found)}


def objective(net: torch.nn.Module, x: Tensor) -> float:
    """The mean square of the layer, by the network as it was loaded."""
    held: list[Tensor] = []
    handle = net.get_submodule(LAYER).register_forward_hook(lambda module, inputs, output: held.append(output))
    with torch.no_grad():
        net(x)
    handle.remove()
    return float(held[0].square().mean())


def large_once(who: str, seed: int) -> dict[str, float]:
    """One step at each of two sizes of a photo of 4,000 x 3,000, from a file to a file."""
    net = inputopt.Frozen(inputopt.load(NETWORK))
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 64))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.jpg")
        subprocess.run([sys.executable, __file__, "--enlarge", path], check=True)  # not in this process's memory
        before = memory("VmRSS")
        forget_peak()
        started = time.perf_counter()
        inputopt.dream(net, path, [LAYER], 2, SCALE, 1).save(Path(folder, "dream.png"))
        return {"seconds": time.perf_counter() - started, "memory": memory("VmHWM") - before}


def hooks_once(who: str, seed: int) -> dict[str, float]:
    """Hooks on the user's network and on the copies that the pictures were made with."""
    user = inputopt.load(NETWORK)
    net, x = inputopt.Frozen(user), torch.rand(3, 48, 48)
    for index in range(10):
        inputopt.dream(net, x, [LAYER], 1, steps=1, seed=index)
    left = {"after ten": one_channel.hooks(user, net._network.runner.model)}

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for wrong in ({"watch": stop}, {"layers": [LAYER, "nothing"]}):
        try:
            inputopt.dream(net, x, **({"layers": [LAYER]} | wrong))
        except (KeyboardInterrupt, ValueError):
            continue
    return {**left, "after an exception": one_channel.hooks(user, net._network.runner.model)}


def channel_once(who: str, threads: int) -> dict[str, Any]:
    """When each step of one channel began: by inputopt as it comes, or by hand on the network as inputopt runs it."""
    torch.set_num_threads(threads)
    net = inputopt.Frozen(inputopt.load(NETWORK))
    if who == "bare":
        network, size = net._network, one_channel.SIZE
        net(torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)))  # decides what is rewritten
        network.runner.current.state = network._verifier.new_state(("",))
        return {"stamps": one_channel.bare(network.runner.model, CHANNEL_STEPS)}
    stamps: one_channel.Stamps = []
    objective = inputopt.Channel(LAYER, one_channel.CHANNEL)
    watch = lambda _: stamps.append(one_channel.stamp())  # noqa: E731
    inputopt.visualize(net, objective, one_channel.SIZE, CHANNEL_STEPS, watch=watch)
    return {"stamps": stamps}


WORK = {"dream": dream_once, "large": large_once, "hooks": hooks_once, "channel": channel_once}


# --------------------------------------------------------------------------------------------------------- the sections
def run(section: str, who: str, number: int = 0) -> dict[str, Any]:
    """Do a section's work in a process of its own; the number is its seed, or how many threads it may use."""
    done = subprocess.run(
        [sys.executable, __file__, "--inside", section, who, str(number)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{section} of {who} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def dream_section(repeats: int) -> dict[str, Any]:
    """The dream, everybody in turn, with a seed a turn; shares are medians of the turns'."""
    runs: dict[str, list[dict[str, float]]] = {who: [] for who in CONTESTANTS}
    for turn in range(repeats):
        for who, found in runs.items():
            found.append(run("dream", who, turn))
    heads = ["dream", "minimum seconds", "minimum CPU seconds", "MB beyond the network", "mean objective"]
    rows = [
        [
            who,
            f"{min(one['seconds'] for one in found):.2f}",
            f"{min(one['cpu'] for one in found):.2f}",
            f"{median(one['memory'] for one in found):.0f}",
            f"{mean(one['objective'] for one in found):.2f}",
        ]
        for who, found in runs.items()
    ]
    print(table(heads, rows))
    shares = {
        what: median(mine[what] / theirs[what] for mine, theirs in zip(runs["ours"], runs["plain"], strict=True))
        for what in ("seconds", "cpu", "memory")
    }
    verdict("time relative to the plain loop", shares["seconds"], TIME)
    verdict("memory relative to the plain loop", shares["memory"], MEMORY)
    more = [{who: run("dream", who, seed)["objective"] for who in ("ours", "plain")} for seed in range(repeats, SEEDS)]
    seeds = [one["ours"] / one["plain"] for one in more]
    seeds += [mine["objective"] / other["objective"] for mine, other in zip(runs["ours"], runs["plain"], strict=True)]
    no_lower(seeds)
    return {"runs": runs, "shares": shares, "objectives": seeds}


def no_lower(shares: list[float]) -> None:
    """Whether ours reaches as much as the plain loop, seed by seed, but for chance.

    Both loops draw alike but round apart, and a millionth more or less in the photo moves what a dream reaches by 1 %
    either way: so the mean over seeds is judged, and it counts as lower only beyond two of its standard errors.
    """
    middle, error = mean(shares), stdev(shares) / len(shares) ** 0.5
    print(f"objective relative to the plain loop, {len(shares)} seeds: mean {middle:.4f}, standard error {error:.4f}")
    verdict("that mean plus two standard errors", middle + 2 * error, 1.0, least=True)


def channel_section(repeats: int) -> dict[str, Any]:
    """A step of one channel, everybody in turn, by one thread: shares of the quickest steps, by the clock."""
    steps: dict[str, list[Any]] = {who: [] for who in ("ours", "bare", "bare as loaded", "lucent", "lucent at 128")}
    left = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder, "weights.safetensors"))
        save_file(inputopt.load(NETWORK).state_dict(), weights)
        for _ in range(2 * repeats):  # short turns: whatever else the machine does, each has quick steps
            for who, taken in steps.items():
                found = run("channel", who, 1) if who in ("ours", "bare") else run_elsewhere(who, weights)
                stamps = torch.tensor(found["stamps"], dtype=torch.float64)[3:]  # the first ones warm up
                taken.append(1000 * stamps.diff(dim=0))
                left[who] = found.get("hooks", 0)
    least = {who: torch.cat(taken).amin(0).tolist() for who, taken in steps.items()}
    middle = {who: float(torch.cat(taken)[:, 0].median()) for who, taken in steps.items()}
    rows = [[who, f"{clock:.1f}", f"{cpu:.1f}", f"{middle[who]:.1f}"] for who, (clock, cpu) in least.items()]
    print(table(["one-channel step, ms", "minimum", "minimum CPU", "median"], rows))
    for who, limit in {"bare": BARE, "bare as loaded": BARE, "lucent": LUCENT, "lucent at 128": 1.0}.items():
        verdict(f"step time relative to {who}", least["ours"][0] / least[who][0], limit)
    print(f"hooks left by lucent after ten renders: {left['lucent']}")
    return {"least": least, "median": middle, "hooks": left}


def run_elsewhere(who: str, weights: str) -> dict[str, Any]:
    """Run one_channel.py by itself, lucent's in its own environment."""
    python = sys.executable if who == "bare as loaded" else peers.interpreter("lucent")
    command = [python, one_channel.__file__, who, weights, str(CHANNEL_STEPS), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{who} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def large_section(_: int) -> dict[str, Any]:
    """A photo of 4,000 x 3,000."""
    found = run("large", "ours")
    verdict(f"MB beyond the network for a 4,000 x 3,000 photo, in {found['seconds']:.0f} s", found["memory"], LARGE)
    return found


def hooks_section(_: int) -> dict[str, Any]:
    """What is left on the network."""
    found = run("hooks", "ours")
    for when, count in found.items():
        verdict(f"hooks left {when}", count, 0)
    return found


SECTIONS = {"dream": dream_section, "large": large_section, "channel": channel_section, "hooks": hooks_section}


def verdict(what: str, value: float, limit: float, least: bool = False) -> None:
    """One line: the figure, its limit, and whether it is kept."""
    kept = value >= limit if least else value <= limit
    print(f"{what}: {value:.3g}, {'at least' if least else 'at most'} {limit:g}: {'met' if kept else 'MISSED'}")


def main() -> None:
    """Run the sections asked for, and write the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--repeats", type=int, default=3, help="turns of everybody (%(default)s)")
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--enlarge", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.enlarge:
        with Image.open(china()) as image:
            image.resize((4000, 3000)).save(options.enlarge)
    elif options.inside:
        section, who, number = options.inside
        print(json.dumps(WORK[section](who, int(number))))
    else:
        unknown = set(options.sections) - set(SECTIONS)
        if unknown:
            parser.error(f"unknown sections {', '.join(sorted(unknown))}")
        figures = {name: SECTIONS[name](options.repeats) for name in options.sections or SECTIONS}
        if options.json:
            Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
