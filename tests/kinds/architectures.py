"""Networks of other layers and other inputs than the plain network of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinds.network import CLASSES, IMAGE, Convolutional, Kind, attended, centred, images, perceptron, settled

ARCHITECTURES = Kind("layers and inputs of every sort")


def headed(*layers: nn.Module, shape: tuple[int, ...] = IMAGE) -> nn.Sequential:
    """The layers, and a head on all that they put out for inputs of that shape."""
    body = settled(nn.Sequential(*layers, nn.Flatten())).eval()
    with torch.no_grad():
        h = body(images(12, shape).float())
    head = nn.Linear(h.shape[1], CLASSES)
    centred(head, h)
    return nn.Sequential(*body, head).train()


# --------------------------------------------------------------------------------------------------------------- norms
@ARCHITECTURES.add(picture="1")
def group_norm() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.GELU())


@ARCHITECTURES.add(picture="1")
def layer_norm() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3), nn.LayerNorm([8, 6, 6]), nn.ReLU())


@ARCHITECTURES.add(picture="1")
def instance_norm_with_statistics() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True, track_running_stats=True), nn.ReLU())


@ARCHITECTURES.add(picture="1")
def instance_norm_of_each_image() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.ReLU())


@ARCHITECTURES.add(picture="1")
def batch_norm_without_weights() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False), nn.ReLU())


@ARCHITECTURES.add(picture="0")
def batch_norm_first() -> nn.Module:
    return headed(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1.0, momentum=None))


@ARCHITECTURES.add(picture="1")
def batch_norm_with_vanished_variance() -> nn.Module:
    """A channel that was constant in training: its scale is three hundred."""
    norm = nn.BatchNorm2d(8)
    norm.running_mean.fill_(0.1)
    norm.running_var[0] = 0
    return headed(nn.Conv2d(3, 8, 3), norm, nn.Tanh())


# ------------------------------------------------------------------------------------------------------- convolutions
@ARCHITECTURES.add(picture="3")
def grouped_strided_dilated() -> nn.Module:
    return headed(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, dilation=2, padding="same", groups=6, bias=False),
        nn.BatchNorm2d(6),
        nn.PReLU(6),
    )


@ARCHITECTURES.add(picture="1")
def transposed_convolution() -> nn.Module:
    return headed(nn.ConvTranspose2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU())


@ARCHITECTURES.add(picture="2")
def dropout_between_convolution_and_batch_norm() -> nn.Module:
    return headed(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.3), nn.BatchNorm2d(8), nn.Hardswish(inplace=True))


@ARCHITECTURES.add(shape=(2, 16))
def convolution_over_a_line() -> nn.Module:
    return headed(nn.Conv1d(2, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), shape=(2, 16))


@ARCHITECTURES.add(shape=(2, 4, 5, 5))
def convolution_over_a_volume() -> nn.Module:
    return headed(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.Tanh(), shape=(2, 4, 5, 5))


@ARCHITECTURES.add(shape=(4, 3, 6, 6))
class FramesOfAFilm(Convolutional):
    """Inputs of five dimensions whose frames are images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).reshape(len(x), -1, CLASSES).mean(1)


@ARCHITECTURES.add(shape=(8, 8, 3))
class ChannelsGivenLast(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2))


# ------------------------------------------------------------------------------------------------- sequences and tokens
@ARCHITECTURES.add(layers=False)
class LstmOverRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.LSTM(24, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.transpose(1, 2).flatten(2))[0][:, -1])


@ARCHITECTURES.add(layers=False)
class TwoWayRecurrence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.GRU(24, 6, 2, bidirectional=True, dropout=0.4), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.permute(2, 0, 1, 3).flatten(2))[0].mean(0))


@ARCHITECTURES.add(layers=False)
class TransformerEncoder(nn.Module):
    """PyTorch's own, which takes another path where no derivative is wanted."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.2, batch_first=True)
        self.patches, self.body = nn.Conv2d(3, 12, 2, 2), nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.patches(x).flatten(2).mT)[:, 0])


@ARCHITECTURES.add()
class TokensOfPatches(nn.Module):
    """A vision transformer in small: [B, N, C] inside, a class token, places that are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 12, 4, 4), nn.LayerNorm(12)
        self.mix, self.head = nn.Linear(12, 12), nn.Linear(12, CLASSES)
        self.first, self.places = nn.Parameter(torch.randn(1, 1, 12)), nn.Parameter(torch.randn(1, 5, 12))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1) + self.places
        tokens = tokens + functional.gelu(self.mix(attended(self.norm(tokens))))
        return self.head(tokens[:, 0])


# -------------------------------------------------------------------------------------------------- other arithmetic
@ARCHITECTURES.add(picture="conv")
class FourierInside(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        waves = torch.fft.rfft2(h, norm="ortho")
        return super().read(torch.fft.irfft2(waves * waves.abs(), s=h.shape[-2:], norm="ortho"))


@ARCHITECTURES.add()
class ComplexWeights(nn.Module):
    """The first parameter is complex."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(8, 192, dtype=torch.complex64) / 14)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = x.flatten(1).to(torch.promote_types(x.dtype, torch.complex64)) @ self.filters.T.to(x.dtype.to_complex())
        return self.head(found.abs())


@ARCHITECTURES.add()
class SparseWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        weights = torch.randn(12, 192) * (torch.rand(12, 192) < 0.2)
        self.register_buffer("weights", weights.to_sparse())
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(torch.sparse.mm(self.weights, x.flatten(1).T).T))


@ARCHITECTURES.add(picture="conv")
class SpatialTransformer(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        turn = 0.3 * self.turn(x.mean((2, 3))).reshape(-1, 2, 3) + torch.eye(2, 3, dtype=x.dtype)
        grid = functional.affine_grid(turn, list(x.shape), align_corners=False)
        return super().forward(functional.grid_sample(x, grid, align_corners=False))


@ARCHITECTURES.add()
class RootOfTheInput(nn.Module):
    """Its derivatives are large near zero, and finite everywhere in the box."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x + 0.01).sqrt())


@ARCHITECTURES.add(shape=(12,))
def vectors() -> nn.Module:
    return headed(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), shape=(12,))


@ARCHITECTURES.add(shape=(1,))
def one_number_an_input() -> nn.Module:
    return headed(nn.Linear(1, 8), nn.Tanh(), shape=(1,))


@ARCHITECTURES.add(shape=(), refused=r"\[B, 1\]|shape")
class ScalarsWithoutADimension(nn.Module):
    """Inputs are numbers, the batch is [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = headed(nn.Linear(1, 8), nn.Tanh(), shape=(1,))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x[:, None])
