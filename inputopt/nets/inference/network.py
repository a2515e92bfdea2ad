"""Runs a network on a private copy, with a faster rewritten forward where that is verified against the plain one.

The rewrites are chosen at the first inputs and verified there (`verification`). A later forward counts as verified if
it has the same autograd graph (`graph`), or without gradients, if it runs the same operations; any other is verified
again. (Where each rewrite is correct independently of the other operations, every batch shape is checked only once.) A
rewrite that fails verification is dropped with a readable reason, and the plain copy is used.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.gradient_rules.skip_gradient import PLAIN, WHOLLY, Branch, BranchRule, Plan, branches, planned
from inputopt.nets.inference.forward import ForwardError, ForwardResult, Runner
from inputopt.nets.inference.graph import is_checkpointed, lacks_derivative, node_signatures
from inputopt.nets.inference.observation import Observer
from inputopt.nets.inference.precision import NO_HALF, Probe, find_precision, own_dtypes, probe
from inputopt.nets.inference.rewriting import KINDS, RewriteState
from inputopt.nets.inference.selection import Rewrites, reason_against
from inputopt.nets.inference.verification import Layers, Verifier
from inputopt.nets.input_range import Scaling
from inputopt.nets.layers import WHOLE
from inputopt.nets.model_errors import first_line, is_memory

ROWS = 2  # number of inputs of a call that the network is probed and verified on
MAX_PATHS = 8  # largest number of further paths to verify; a network with more is run without rewrites
WIDE = "float32 arithmetic"


class Network:
    """A model that runs with verified rewrites. Several threads may run it at once.

    Attributes:
        runner: runs the model.
        failure: error of a forward with gradients if the model runs only without them; None otherwise.
        is_double: whether it computes in float64; judged by its weights until the first run.
        is_random: whether it was seen to draw random numbers.
    """

    def __init__(self, model: Any, scaling: Scaling) -> None:
        self.runner = Runner(model, scaling)
        self.is_double = torch.float64 in own_dtypes(self.runner.model)[:1]
        self.failure: ForwardError | None = None
        self._rewrites = Rewrites(self.runner.model if self.runner.is_private else None, self.runner.current)
        self._verifier = Verifier(self.runner, self._rewrites)
        self._lock = threading.RLock()
        self._compute_dtypes: dict[torch.dtype, torch.dtype | None] = {}
        self._precision = NO_HALF
        self._rows: int | None = ROWS
        self._paths_checked = self._probed = 0
        self._layers: set[Layers] = set()  # layers that it was probed for
        self.is_random = self._unobservable = False
        self._verified_rows: set[Hashable] = set()  # (layers, shape, dtype) that were verified
        self._observed_rows: set[Hashable] = set()  # those with known operations without gradients
        self._verified_operations: set[Hashable] = set()  # hashes of verified operation sequences
        self._trusted_without_gradients: set[Hashable] = set()  # (layers, shape, dtype) that run such a sequence
        self._trusted_with_gradients: set[Hashable] = set()  # the same with gradients
        self._branches: list[Branch] | None = None
        self._flops: dict[torch.Size, float] = {}  # of a whole forward, for one input
        self._shapes: set[torch.Size] = set()

    @property
    def checks(self) -> int:
        """Number of inputs that it was run on only for probing and verification."""
        return self._probed + self._verifier.checks

    def optimisations(self) -> dict[str, str]:
        """For each optimisation, "used" or the reason why it is not."""
        if not self._compute_dtypes:
            return dict.fromkeys((WIDE, *KINDS), "decided at the first input")
        return {WIDE: self._precision, **self._rewrites.reasons()}

    def flops(self, shape: torch.Size) -> float:
        """Floating-point operations of a forward of one input of `shape`; 0 before the first such forward."""
        return self._flops.get(shape, 0.0)

    def accepts(self, shape: torch.Size) -> bool:
        """Whether it has already run on inputs of `shape`."""
        return shape in self._shapes or shape in self._flops

    def run(self, x: Tensor, layers: Layers, rule: BranchRule = PLAIN, observe: bool = False) -> ForwardResult:
        """Run a forward on `x` [B, ...] until the last of `layers` is captured; call `decide` for such inputs before.

        Args:
            rule: how residual branches are run.
            observe: whether to observe the operations of the forward, which updates `is_random`.

        Raises:
            ForwardError: the model raised an exception.
            ValueError: the rule is for branches that the network lacks, or a layer is unknown.
        """
        plan = WHOLLY if rule.is_plain else planned(self._residual_branches(x, layers), rule)
        if len(layers) > 1 and layers not in self._layers:
            self._probe(x[: self._rows], layers)  # a later layer may modify an output in place
        while True:
            run_fast = self._fast_forward if rule.kept is None else self._dropping
            result = run_fast(x, layers, plan, observe) if self._rewrites.kinds else None
            if result is None:
                result = self._forward(x, layers, plan, observe=observe)
            if not result.captured:
                return result
            overwritten = result.overwritten()
            if not overwritten:
                self._shapes.add(x.shape[1:])
                return result
            self.runner.cloned_layers |= overwritten  # run again, and copy these outputs at capture

    def decide(self, x: Tensor, layers: Layers) -> None:
        """Choose dtype and rewrites for inputs such as `x`, if they are the first of their dtype."""
        if x.dtype not in self._compute_dtypes:
            self.runner.parsed(layers)
            with self._lock:
                if x.dtype not in self._compute_dtypes:
                    self._decide(x, layers)

    def _forward(
        self, x: Tensor, layers: Layers, plan: Plan, state: RewriteState | None = None, observe: bool = False
    ) -> ForwardResult:
        wanted = observe or (WHOLE in layers and x.shape[1:] not in self._flops)
        if not wanted or self._unobservable or not x.shape[0]:
            return self.runner(x, layers, state, hooks=plan.hooks)
        return self._observed_forward(x, layers, plan, state)[0]

    def _observed_forward(
        self, x: Tensor, layers: Layers, plan: Plan = WHOLLY, state: RewriteState | None = None
    ) -> tuple[ForwardResult, Hashable]:
        """Run a forward; returns its result and a hash of its operations."""
        observer = Observer(counts=WHOLE in layers and x.shape[1:] not in self._flops)
        result, seen = self.runner(x, layers, state, hooks=plan.hooks, mode=observer), observer.observation()
        self.is_random |= seen.random
        if WHOLE in layers:
            self._flops.setdefault(x.shape[1:], seen.flops / max(1, len(x)))
        return result, hash(seen.operations)

    def _fast_forward(self, x: Tensor, layers: Layers, plan: Plan, observe: bool) -> ForwardResult | None:
        """Run the rewritten forward; None if it is not verified and cannot be."""
        try:
            if torch.is_grad_enabled() and x.requires_grad:
                return self._with_gradients(x, layers, plan)
            if (layers, x.shape, x.dtype) not in self._trusted_without_gradients:
                return self._without_gradients(x, layers, plan)
            state = self._verifier.new_state(layers)
            result = self._forward(x, layers, plan, state, observe)
            return None if state.broken else result
        except ForwardError as failure:
            if is_memory(failure.error):
                raise
            plain = self._forward(x, layers, plan)  # also raises if the model itself is at fault
            self._rewrites.drop(KINDS, f"raised {first_line(failure.error)}")
            return plain

    def _with_gradients(self, x: Tensor, layers: Layers, plan: Plan) -> ForwardResult | None:
        """Rewritten forward with gradients; an unverified path is verified on a few inputs, then on all."""
        result = self._forward(x, layers, plan, self._verifier.new_state(layers))
        key = (layers, x.shape, x.dtype)
        if self._rewrites.is_local and key in self._trusted_with_gradients:
            return result
        for rows in (self._rows, None):
            if self._is_right(result, x, layers):
                self._trusted_with_gradients.add(key)
                return result
            self._verify_path(x[:rows], layers)
            result = self._forward(x, layers, plan, self._verifier.new_state(layers))
        return result if self._is_right(result, x, layers) else None

    def _dropping(self, x: Tensor, layers: Layers, plan: Plan, observe: bool) -> ForwardResult | None:
        """Rewritten forward without some branches; None if it is not verified with all for inputs of this shape."""
        trusted, key = self._trusted_with_gradients, (layers, x.shape, x.dtype)
        if self._rewrites.reads_numbers or not (torch.is_grad_enabled() and x.requires_grad):
            return None
        if key not in trusted:
            self._fast_forward(x, layers, WHOLLY, False)
        state = self._verifier.new_state(layers)
        state.unused = plan.unused if layers == (WHOLE,) else frozenset()  # a captured layer may be inside a branch
        result = self._forward(x, layers, plan, state, observe) if key in trusted else None
        return None if state.broken else result

    def _is_right(self, result: ForwardResult, x: Tensor, layers: Layers) -> bool:
        """Whether a rewritten forward with gradients is verified."""
        return self._verifier.is_verified(result, x.shape[0]) and self._verifier.agrees(result, x, layers, self._rows)

    def _without_gradients(self, x: Tensor, layers: Layers, plan: Plan) -> ForwardResult | None:
        """First rewritten forward of a batch shape without gradients; it must run a verified sequence of operations."""
        state = self._verifier.new_state(layers)
        result, operations = self._observed_forward(x, layers, plan, state)
        if operations not in self._verified_operations and not self._verified_at_first_rows(x, layers):
            return None
        if operations not in self._verified_operations:
            if not self._verifier.takes_verified_path(x, layers):
                if not self._verify_path(x, layers):
                    return None
                state = self._verifier.new_state(layers)
                result, operations = self._observed_forward(x, layers, plan, state)
            self._verified_operations.add(operations)
        if state.broken or not self._verifier.agrees(result, x, layers, self._rows, graded=False):
            self._rewrites.drop(KINDS, "its forward without gradients differs from the one with gradients")
            return None
        self._trusted_without_gradients.add((layers, x.shape, x.dtype))
        return result

    def _verified_at_first_rows(self, x: Tensor, layers: Layers) -> bool:
        """Whether a forward of the first rows is verified; if so, its operation sequence is recorded as verified."""
        few = x[: self._rows]
        tried = (layers, few.shape, x.dtype)
        if tried not in self._observed_rows:
            verified_here = tried in self._verified_rows or self._verifier.takes_verified_path(few, layers)
            if not verified_here and not self._verify_path(few, layers):
                return False
            self._observed_rows.add(tried)
            _, verified = self._observed_forward(few.detach().clone(), layers, WHOLLY, self._verifier.new_state(layers))
            self._verified_operations.add(verified)
            self._probed += len(few)
        return True

    def _decide(self, x: Tensor, layers: Layers) -> None:
        """Choose the dtype for inputs of this dtype, and at the very first inputs the rewrites."""
        if self._compute_dtypes and own_dtypes(self.runner.model):
            self.runner.dtypes[x.dtype] = self._compute_dtypes[x.dtype] = next(iter(self._compute_dtypes.values()))
            return
        with self.runner.buffers_unchanged():
            try:
                probed, precision = find_precision(self.runner, x[: self._rows], layers)
            except ForwardError:
                if len(x) <= ROWS:
                    raise
                probed, precision = find_precision(self.runner, x, layers)
                self._rows = None  # it may accept only one batch size
        if probed.observation.leads_back:
            self.runner.share(probed.observation.written)
            self._rewrites = self._verifier.rewrites = Rewrites(None, self.runner.current)
            self._decide(x, layers)
            return
        if not self._compute_dtypes:
            self._precision = precision
            reason = reason_against(self.runner, probed.observation)
            if reason:
                self._rewrites.drop(KINDS, reason)
        self._verify(self._record(probed, layers), layers)
        self._compute_dtypes[x.dtype] = self.runner.dtypes[x.dtype]
        self.is_double = torch.float64 in self._compute_dtypes.values()

    def _record(self, probed: Probe, layers: Layers) -> Probe:
        """Record an observed forward; returns it, or a new probe if requested layers were overwritten in place."""
        copied, seen = self.runner.layers_to_clone(layers), probed.observation
        self._probed += len(probed.leaf)
        self.failure = self.failure or probed.failure
        self.is_random |= seen.random
        self._layers.add(layers)
        self.runner.writes_input |= seen.writes_input
        self.runner.overwritten_modules |= {id(call.module) for call in seen.calls if call.made in seen.overwritten}
        graph = node_signatures(probed.result.roots(len(probed.leaf)), probed.result.input_node)
        self.runner.is_checkpointed |= is_checkpointed(graph)
        self.runner.lacks_derivative |= lacks_derivative(graph)
        self._unobservable |= bool(seen.error)
        if WHOLE in layers:
            self._branches = branches(seen)
        if WHOLE in layers and len(probed.leaf):
            self._flops.setdefault(probed.leaf.shape[1:], seen.flops / len(probed.leaf))
        self._rewrites.update(seen)
        self.runner.cloned_layers |= probed.result.overwritten()
        if self.runner.layers_to_clone(layers) == copied:
            return probed
        self._probed += len(probed.leaf)
        return probe(self.runner, probed.leaf, layers)

    def _probe(self, x: Tensor, layers: Layers) -> Probe:
        with self._lock:
            return self._record(probe(self.runner, x, layers), layers)

    def _verify_path(self, x: Tensor, layers: Layers) -> bool:
        """Probe and verify another path through the network; returns whether it is verified."""
        with self._lock:
            self._paths_checked += 1
            if self._paths_checked > MAX_PATHS:
                self._rewrites.drop(KINDS, "its operations change from call to call, or its gradient was zero")
                return False
            return self._verify(self._probe(x, layers), layers)

    def _verify(self, probed: Probe, layers: Layers) -> bool:
        verified = self._verifier.verify(probed, layers)
        if verified:
            self._verified_rows.add((layers, probed.leaf.shape, probed.leaf.dtype))
        return verified

    def _residual_branches(self, x: Tensor, layers: Layers) -> list[Branch]:
        """The residual branches of the whole forward, or up to `layers` if that fails."""
        with self._lock:
            if self._branches is None and self.runner.modules:
                try:
                    self._probe(x[: self._rows], (WHOLE,))
                except ForwardError:  # e.g. the last layers need another input size
                    self._branches = branches(probe(self.runner, x[: self._rows], layers).observation)
        if not self._branches:
            raise ValueError("No residual branches were found in this model's forward; leave branches at 1.")
        return self._branches
