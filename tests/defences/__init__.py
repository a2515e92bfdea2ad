"""A collection of broken defences: networks on which robust accuracy is easily measured too high.

`DEFENCES` is the table of all, by name; `true_robustness.json` has what an attack written by hand for each leaves.
"""

from defences.defence import EPS, Defence
from defences.table import DEFENCES

__all__ = ["DEFENCES", "EPS", "Defence"]
