"""What a model raises is one sentence, and says whose fault it is."""

import contextlib

import pytest
import torch
from odd_networks import Net, X, seeded
from torch import nn
from torch.utils.checkpoint import checkpoint

import inputopt
from inputopt.nets.model_errors import InputShapeError, ModelError, OutOfMemoryError

NO_DERIVATIVE = "has no gradient with respect to its input.*Square"


class Fails(Net):
    """Raises what it is told."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        if self.error is not None:
            raise self.error
        return super().forward(x)


# ----------------------------------------------------------------------------------------------- the three ways to fail
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("boom"),
        RuntimeError("view size is not compatible with input tensor's size and stride"),
        KeyError("missing"),
        AttributeError("no attribute 'x'"),
        ZeroDivisionError("division by zero"),
        TypeError("bad operand"),
        AssertionError("must be trained before"),
        NotImplementedError("later"),
        UserWarning("made an error"),
        StopIteration(),
    ],
)
def test_a_fault_of_the_models_own(error):
    frozen = inputopt.Frozen(seeded(lambda: Fails(error)))
    with pytest.raises(
        ModelError, match=rf"own forward failed on inputs of shape 3 x 8 x 8 \({type(error).__name__}"
    ) as one:
        frozen(X)
    assert one.value.__cause__ is not None
    assert type(one.value.__cause__) is type(error)
    assert "\n" not in str(one.value)
    assert isinstance(one.value, ValueError)
    with pytest.raises(ModelError):
        frozen.features(X, ["conv"])
    with pytest.raises(ModelError):
        inputopt.attacks.PGD(steps=1)(frozen, X, [0, 1, 2, 3, 0])


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried 1 bytes"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)
def test_no_memory(error):
    frozen = inputopt.Frozen(seeded(lambda: Fails(error)))
    with pytest.raises(OutOfMemoryError, match=r"not enough memory to run the model on 5 inputs .* give fewer") as one:
        frozen(X)
    assert one.value.__cause__ is not None
    assert isinstance(one.value, MemoryError)
    assert isinstance(one.value, ValueError)


def test_memory_that_is_really_not_there():
    def large(x):
        return x.flatten(1)[:, :1].expand(-1, 2**45).contiguous()

    with pytest.raises(OutOfMemoryError, match="give fewer or smaller inputs"):
        inputopt.Frozen(large)(X)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (Net, torch.rand(2, 4, 8, 8)),
        (Net, torch.rand(2, 3, 2, 2)),
        (Net, torch.rand(2, 8)),
        (lambda: nn.Linear(5, 2), torch.rand(2, 4)),
        (lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, 2)), torch.rand(2, 4)),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)), torch.rand(2, 3)),
        (lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)), torch.rand(2, 3)),
        (lambda: nn.LSTM(4, 2), torch.rand(2, 3, 5)),
        (lambda: nn.MaxPool2d(9), torch.rand(2, 3, 4, 4)),
        (lambda: nn.ReflectionPad2d(9), torch.rand(2, 3, 4, 4)),
    ],
)
def test_inputs_of_another_shape(make, x):
    shape = " x ".join(map(str, x.shape[1:]))
    with pytest.raises(InputShapeError, match=rf"does not accept inputs of shape {shape} \(") as one:
        inputopt.Frozen(seeded(make))(x)
    assert isinstance(one.value, ValueError)


def test_shapes_that_people_check_themselves():
    def unpacked(x):
        batch, _, height, _ = x.shape
        return x.reshape(batch, height, -1)[:, 0]

    def asserted(x):
        assert x.shape[-1] == 32, "Input width (8) doesn't match model (32)."

    def raised(x):
        raise ValueError("Input image size (8*8) doesn't match model (32*32).")

    for model, x in ((unpacked, X.flatten(1)), (asserted, X), (raised, X)):
        with pytest.raises(InputShapeError, match="does not accept inputs of shape"):
            inputopt.Frozen(model)(x)


def test_a_shape_that_was_taken_before_is_not_at_fault():
    net = seeded(lambda: Fails(None))
    frozen = inputopt.Frozen(net)
    frozen(X)
    frozen._network.runner.model.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
    with pytest.raises(ModelError, match="own forward failed"):
        frozen(X)


def test_what_is_no_error_passes():
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        frozen = inputopt.Frozen(seeded(lambda error=error: Fails(error)))
        with pytest.raises(type(error)):
            frozen(X)
        assert frozen._network.runner.current.state is None
        assert not any(module._forward_hooks for module in frozen._network.runner.modules)


def test_one_sentence_is_not_wrapped_in_another():
    inner = inputopt.Frozen(seeded(lambda: Fails(KeyError("deep"))))
    with pytest.raises(ModelError, match="KeyError") as one:
        inputopt.Frozen(lambda x: inner(x))(X)
    assert str(one.value).count("own forward failed") == 1
    assert isinstance(one.value.__cause__, KeyError)


def test_a_model_that_recovers_is_run_as_it_is():
    class Once(Net):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 4:
                raise RuntimeError("once")
            return super().forward(x)

    net = seeded(Once)
    frozen = inputopt.Frozen(net)
    for _ in range(4):
        torch.testing.assert_close(frozen(X), Net.forward(net, X), rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------------------------------------------- no derivative
def derived(frozen):
    y = X.clone().requires_grad_()
    return frozen.gradient(frozen(y).sum(1), y)


def quantised():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear})


def inferring(x):
    with torch.inference_mode():
        return x.flatten(1)[:, :4] * 2


def silent(x):
    with torch.no_grad():
        return x.flatten(1)[:, :4] * 2


def by_array(x):
    return torch.from_numpy(x.numpy().reshape(len(x), -1)[:, :4] * 2)  # which torch refuses where gradients are wanted


UNDERIVED = {
    "detached": lambda: lambda x: x.detach().flatten(1)[:, :4],
    "detached before weights": lambda: (lambda net: lambda x: net(x.detach()))(seeded(Net)),
    "without gradients": lambda: silent,
    "in inference mode": lambda: inferring,
    "rounded to whole numbers": lambda: lambda x: (x * 9).long().float().flatten(1)[:, :4],
    "in numpy": lambda: by_array,
    "of nothing": lambda: lambda x: torch.ones(len(x), 4),
    "quantised": quantised,
}


@pytest.mark.parametrize("kind", UNDERIVED)
@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_model_without_a_derivative_works_for_those_who_ask_none(kind):
    """d9 and its siblings."""
    model = UNDERIVED[kind]()
    frozen = inputopt.Frozen(model)
    with torch.no_grad():
        expected = model(X)
        torch.testing.assert_close(frozen(X), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=NO_DERIVATIVE) as one:
        derived(frozen)
    assert "\n" not in str(one.value)
    found = inputopt.attacks.Square(steps=3)(frozen, X, [0, 1, 2, 3, 0])
    assert found.x.shape == X.shape
    with pytest.raises(ValueError, match=NO_DERIVATIVE):
        inputopt.attacks.PGD(steps=2)(model, X, expected.argmax(1))


def test_only_the_part_behind_it_has_no_derivative():
    class Half(Net):
        def forward(self, x):
            return self.head(self.body(x).detach().mean((2, 3)))

    frozen = inputopt.Frozen(seeded(Half))
    y = X.clone().requires_grad_()
    assert frozen.gradient(frozen.features(y, ["act"])["act"].sum((1, 2, 3)), y).any()
    with pytest.raises(ValueError, match=NO_DERIVATIVE):
        frozen.gradient(frozen(y).sum(1), y)
    with torch.no_grad():
        blind = frozen(y)
    with pytest.raises(ValueError, match=NO_DERIVATIVE):
        frozen.gradient(blind.sum(1), y)


# ---------------------------------------------------------------------------------------------- backwards that go wrong
class Checkpointed(Net):
    reentrant = True

    def forward(self, x):
        if not x.requires_grad:
            return super().forward(x)  # torch warns of checkpoints that nothing is derived by
        return self.head(checkpoint(self.body, x, use_reentrant=self.reentrant).mean((2, 3)))


class Within(Checkpointed):
    reentrant = False


class Unshared(Checkpointed):
    def __deepcopy__(self, memo):
        raise RuntimeError("there is one of me")


@pytest.mark.parametrize("kind", [Checkpointed, Within])
def test_checkpoints_are_derived(kind):
    """g1."""
    net = seeded(kind)
    frozen = inputopt.Frozen(net)
    kept = nn.Parameter(torch.ones(4))
    y, z = X.clone().requires_grad_(), X.clone().requires_grad_()
    y.grad = torch.ones_like(y)
    for _ in range(2):
        found = frozen.gradient((frozen(y) * kept).sum(1), y)
    torch.testing.assert_close(found, torch.autograd.grad(Net.forward(net, z).sum(), z)[0], rtol=1e-4, atol=1e-6)
    assert kept.grad is None
    assert bool((y.grad == 1).all()), "what others have gathered stays"
    assert all(parameter.grad is None for parameter in net.parameters())
    found = inputopt.attacks.PGD(steps=3, eps=0.05)(net, X, net(X).argmax(1))
    assert float((found.x - X).abs().max()) > 0.01


def test_checkpoints_of_a_model_that_is_not_ours_alone():
    net = seeded(Unshared)
    with pytest.raises(ModelError, match="use_reentrant=False"):
        derived(inputopt.Frozen(net))
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_backward_that_fails():
    class Overwritten(Net):
        def body(self, x):
            y = super().body(x).exp()
            kept = y * 1
            y.add_(1)  # which the derivative of exp would have needed
            return kept

    class Raising(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise KeyError("no way back")

    for net, words in (
        (seeded(Overwritten), "own backward failed .*modified by an inplace operation"),
        (lambda x: Raising.apply(x.flatten(1)[:, :4]), "own backward failed .*KeyError: 'no way back'"),
    ):
        frozen = inputopt.Frozen(net)
        y = X.clone().requires_grad_()
        logits = frozen(y)
        with torch.no_grad():
            torch.testing.assert_close(logits, net(X), rtol=1e-5, atol=1e-5)
        with pytest.raises(ModelError, match=words) as one:
            frozen.gradient(logits.sum(1), y)
        assert isinstance(one.value.__cause__, (RuntimeError, KeyError))


# --------------------------------------------------------------------------------------------------------- found before
def test_what_is_found_before_anything_runs():
    with pytest.raises(TypeError, match="the class Linear; create an instance"):
        inputopt.Frozen(nn.Linear)
    with pytest.raises(ValueError, match=r"lazy layers.*run it once"):
        inputopt.Frozen(nn.Sequential(nn.LazyLinear(3)))
    with torch.device("meta"), contextlib.suppress(NotImplementedError):
        empty = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="meta device"):
        inputopt.Frozen(empty)
    with pytest.raises(TypeError, match="must be a tensor"):
        inputopt.Frozen(seeded(Net))([[1.0]])
    with pytest.raises(ValueError, match="The inputs are on meta and the network on cpu"):
        inputopt.Frozen(seeded(Net))(X.to("meta"))
    with pytest.raises(ValueError, match=r"mean of shape \[2\] cannot be broadcast to inputs of shape \[3, 8, 8\]"):
        inputopt.Frozen(seeded(Net), mean=[0.1, 0.2])(X)
