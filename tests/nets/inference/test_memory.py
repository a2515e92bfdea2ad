"""What a step frees is there for the next one."""

import resource
import subprocess
import sys

import pytest

ROUNDS = """
import resource, torch
import inputopt.api  # as every search has loaded
from inputopt.nets.inference.memory import keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    before = faults()
    held = [torch.ones(2**18) for _ in range(40)]
    del held
    return faults() - before

{first}
step()
print(sum(step() for _ in range(5)))
"""


def later_faults(first: str) -> int:
    """Pages that five steps of 40 MB had to be given, after one such step."""
    command = [sys.executable, "-c", ROUNDS.format(first=first)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems give memory back by rules of their own")
def test_a_step_finds_the_memory_that_the_last_one_freed() -> None:
    pages = 40 * 2**20 // resource.getpagesize()
    assert later_faults("") > pages  # of the five steps, at least one has to be given all of it again
    assert later_faults("keep_freed()") < pages / 10
