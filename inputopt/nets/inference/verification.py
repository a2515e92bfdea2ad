"""Verifies the rewritten forward of a network against the plain one and remembers the verified autograd graphs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inputopt.nets.inference.comparison import Evaluation, Tolerance, difference, fixed_combination, tolerance
from inputopt.nets.inference.forward import ForwardError, ForwardResult, Runner
from inputopt.nets.inference.graph import graph_signature, node_signatures
from inputopt.nets.inference.precision import Probe, probe
from inputopt.nets.inference.rewriting import CHANNELS_LAST, FEW_CHANNELS, FOLDED_NORMS, INPLACE_RELUS, RewriteState
from inputopt.nets.inference.selection import Rewrites
from inputopt.nets.layers import WHOLE
from inputopt.nets.model_errors import first_line

Layers = tuple[str, ...]

NOT_VERIFIED = Tolerance(0.0, 0.0)

CHANGING = "its outputs for the same inputs differ from call to call"


@dataclass
class Verifier:
    """Verifies the rewritten forwards of a network, and stores the autograd graphs for which they agreed.

    Attributes:
        runner: runs the model.
        rewrites: the rewrites in use; those that fail verification are dropped.
        checks: number of inputs that the model was run on for verification.
    """

    runner: Runner
    rewrites: Rewrites
    checks: int = 0
    _graphs: set[Hashable] = field(default_factory=set)
    _nodes: set[int] = field(default_factory=set)  # signatures of all nodes of those graphs
    _sizes: set[Hashable] = field(default_factory=set)  # (layers, shape, dtype, graded) with compared outputs
    _allowed: Tolerance = NOT_VERIFIED

    def new_state(self, layers: Layers, kinds: frozenset[str] | None = None) -> RewriteState:
        """Rewrite state for one forward up to `layers`; convolutions whose output is requested are not folded."""
        kinds = self.rewrites.kinds if kinds is None else kinds
        if layers == (WHOLE,) or FOLDED_NORMS not in kinds:
            return RewriteState(kinds)
        requested = {name for name, _ in self.runner.parsed(layers).values() if name != WHOLE}
        return RewriteState(
            kinds, self.rewrites.unfolded_for({id(self.runner.model.get_submodule(name)) for name in requested})
        )

    def is_verified(self, result: ForwardResult, batch: int) -> bool:
        """Whether a rewritten forward with gradients of `batch` inputs took a verified path or part of one."""
        if result.state is None or result.state.broken:
            return False
        roots = result.roots(batch)
        graph = graph_signature(roots, result.input_node)
        if graph in self._graphs:
            return True
        known = node_signatures(roots, result.input_node)
        is_part = bool(roots) and all(known[root] in self._nodes for root in roots)
        if is_part:
            self._graphs.add(graph)
        return is_part

    def agrees(self, result: ForwardResult, x: Tensor, layers: Layers, rows: int | None, graded: bool = True) -> bool:
        """Whether rewritten and plain outputs agree on the first `rows` of `x`, compared once for each input shape.

        The same graph can compute something else at another size, for example if the forward depends on the memory
        format of its tensors, and a forward without gradients (`graded=False`) has no graph at all. Comparing outputs
        costs a quarter of a whole verification.
        """
        key, whole = ((each, x.shape[1:], x.dtype, graded) for each in (layers, (WHOLE,)))
        if key not in self._sizes and whole not in self._sizes:
            few = x[:rows]
            self.checks += len(few)
            few = few.detach().requires_grad_(graded and few.is_floating_point())
            with torch.set_grad_enabled(graded):
                plain = self.runner(few, layers, isolate=True).tensors(layers, len(few))
            seen = (None if each is None else each[: len(few)] for each in result.tensors(layers, len(x)))
            if difference(Evaluation(plain), Evaluation(tuple(seen)), self._allowed):
                return False
            self._sizes.add(key)
        return True

    def takes_verified_path(self, x: Tensor, layers: Layers) -> bool:
        """Run an extra rewritten forward on these inputs; returns whether it takes a verified path."""
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_(x.is_floating_point())
            self.checks += len(leaf)
            try:
                result = self.runner(leaf, layers, self.new_state(layers), isolate=True)
                return self.is_verified(result, len(leaf)) and self.agrees(result, leaf, layers, None)
            except ForwardError:
                return False

    def verify(self, probed: Probe, layers: Layers) -> bool:
        """Compare the rewritten forward with a plain one and drop rewrites that fail; returns whether the rest agree.

        Where the gradient is zero at these inputs it cannot be verified, and the result is False.
        """
        kinds = self.rewrites.kinds
        if not kinds or probed.failure is not None or probed.result.missing:
            return False
        plain = self._evaluate(probed.result, probed.leaf, layers)
        allowed = tolerance(probed.observation, self.runner.prepare(probed.leaf).dtype, probed.leaf.device)
        problem, result = self._compare(kinds, probed, layers, plain, allowed)
        if problem:
            again = probe(self.runner, probed.leaf, layers)
            if difference(plain, self._evaluate(again.result, again.leaf, layers), allowed):
                self.rewrites.drop(kinds, CHANGING)
                return False
            for kind in (kind for kind in (CHANNELS_LAST, FEW_CHANNELS, INPLACE_RELUS, FOLDED_NORMS) if kind in kinds):
                other, result = self._compare(self.rewrites.without(kind), probed, layers, plain, allowed)
                if not other:
                    self.rewrites.drop(kinds - self.rewrites.without(kind), problem)
                    break
            else:
                self.rewrites.drop(kinds, problem)
        is_zero = plain.gradient is not None and not bool(plain.gradient.any())
        if result is None or is_zero:
            return False
        roots = result.roots(len(probed.leaf))
        self._allowed = allowed
        self._sizes.add((layers, probed.leaf.shape[1:], probed.leaf.dtype, True))
        self._graphs.add(graph_signature(roots, result.input_node))
        self._nodes |= set(node_signatures(roots, result.input_node).values())
        return True

    def _compare(
        self, kinds: frozenset[str], probed: Probe, layers: Layers, plain: Evaluation, allowed: Tolerance
    ) -> tuple[str, ForwardResult | None]:
        """How a forward with these rewrites differs from the plain one, and its result if it does not."""
        state = self.new_state(layers, kinds)
        self.checks += len(probed.leaf)
        with torch.enable_grad():
            try:
                result = self.runner(probed.leaf, layers, state, isolate=True)
                if result.overwritten():  # e.g. by an in-place ReLU
                    self.runner.cloned_layers |= result.overwritten()
                    state = self.new_state(layers, kinds)
                    result = self.runner(probed.leaf, layers, state, isolate=True)
            except ForwardError as failure:
                return f"raised {first_line(failure.error)}", None
            if state.broken or result.missing:
                return "the output of a convolution was not passed to its batch norm", None
            try:
                seen = self._evaluate(result, probed.leaf, layers, strict=plain.gradient is not None)
            except Exception as error:  # a user-defined backward may raise anything
                return f"raised {first_line(error)} in the backward", None
        problem = difference(plain, seen, allowed)
        return problem, None if problem else result

    def _evaluate(self, result: ForwardResult, leaf: Tensor, layers: Layers, strict: bool = False) -> Evaluation:
        """Outputs and gradient of a forward; `strict` re-raises errors of the backward."""
        with torch.enable_grad():
            outputs = result.tensors(layers, len(leaf))
            total, gradient = fixed_combination(outputs), None
            if total is not None:
                try:
                    gradient = self.runner.derive(total, leaf, keep=False)
                except Exception:  # not differentiable; a later backward reports it
                    if strict:
                        raise
        return Evaluation(tuple(None if each is None else each.detach() for each in outputs), gradient)
