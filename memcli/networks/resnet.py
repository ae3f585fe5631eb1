"""ResNet-18 for small images: a 3x3 stem without stride or max-pool. He et al., "Deep Residual Learning", CVPR 2016."""

from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.networks.base import Classifier, Network, Whole, require_side
from memcli.networks.blocks import NORM, can_halve, norm_layer
from memcli.networks.convolution import Convolution


def _convolution(before: int, after: int, kernel: int, stride: int, norm: str) -> nn.Sequential:
    """A convolution and its norm; a bias only where no norm follows, since a norm brings its own."""
    convolution = Convolution(before, after, kernel, stride, padding=kernel // 2, bias=norm == "none")
    return nn.Sequential(convolution, norm_layer(norm, after))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (n, before, h, w) -> (n, after, h / stride, w / stride)."""

    def __init__(self, before: int, after: int, stride: int, norm: str) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride, norm)
        self.second = _convolution(after, after, 3, 1, norm)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(before, after, 1, stride, norm)

    def forward(self, images: Tensor) -> Tensor:
        inner = self.second(self.first(images).relu())
        return (inner + self.shortcut(images)).relu()


def make(data: DataSpec, *, width: int, norm: str) -> nn.Module:
    """Four stages of two blocks with `width` to 8 * `width` channels, and the mean over the pixels.

    Stages 2 to 4 halve the sides, but not below 2 (a norm of 1x1 images is zero): 8x8 images end at 2x2.
    """
    require_side(data, 8, "resnet18")
    layers: list[nn.Module] = [_convolution(data.channels, width, 3, 1, norm), nn.ReLU()]
    channels, down, across = width, data.height, data.width
    for wider in (width, 2 * width, 4 * width, 8 * width):
        stride = 2 if wider > width and can_halve(down, across) else 1
        down, across = -(-down // stride), -(-across // stride)
        layers += [Block(channels, wider, stride, norm), Block(wider, wider, 1, norm)]
        channels = wider
    return Classifier(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels, len(data.classes))


NETWORK = Network(
    "resnet18",
    "four stages of residual blocks: ResNet-18 with a 3x3 stem for small images",
    make,
    {"width": Whole(64, 256), "norm": NORM},
)
