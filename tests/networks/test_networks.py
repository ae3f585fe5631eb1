"""The contract that every network meets, and the refusals of `build`."""

import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import Classifier, build, names, sized, stateless

DOCS = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
SMALL = (
    *("convnet:width=8", "convnet:width=8,depth=2,norm=batch", "convnet:width=8,norm=layer", "mlp:width=16"),
    *("alexnet:width=5", "vgg11:width=8", "resnet18:width=8"),
)
MEMBERS = (
    *SMALL,
    *("convnet:width=8,norm=none", "mlp:depth=1", "alexnet", "vgg11", "vgg11:norm=none", "resnet18"),
    *(
        "resnet18:norm=none",
        "resnet18:norm=batch",
        "strided:channels=8,hidden=16",
        "torchvision:mobilenet_v3_small",
        "torchvision:squeezenet1_1",
    ),
    *(("timm:test_vit", "timm:test_efficientnet") if find_spec("timm") else ()),
)
FOREIGN = ("torchvision:", "timm:")
TRAINED = (*SMALL, "alexnet", "vgg11", "resnet18", "resnet18:norm=batch")
STATELESS = [
    name for name in MEMBERS if "batch" not in name and (not name.startswith(FOREIGN) or name == "timm:test_vit")
]


def spec(channels: int, side: int, classes: int = 4) -> DataSpec:
    names = tuple(str(index) for index in range(classes))
    return DataSpec("test", channels, side, side, names, (0.0,) * channels, (1.0,) * channels)


def images(data: DataSpec, count: int) -> torch.Tensor:
    return torch.randn(count, *data.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("data", [spec(1, 8), spec(1, 28), spec(3, 32), spec(3, 64)], ids=lambda data: str(data.shape))
@pytest.mark.parametrize("name", MEMBERS)
def test_logits_tell_images_apart(name: str, data: DataSpec) -> None:
    network = build(name, data, seed=0)
    assert network.training
    for module in network.modules():
        module.train(not isinstance(module, nn.Dropout))
    with torch.no_grad():
        logits = network(images(data, 2))
    assert logits.shape == (2, 4)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1], atol=1e-6), "a dead network answers the same whatever it sees"


@pytest.mark.parametrize("name", MEMBERS)
def test_weights_are_a_function_of_the_seed(name: str) -> None:
    data = spec(1, 8)
    first, again = build(name, data, seed=0), build(name, data, seed=0)
    weights = list(first.parameters())
    assert all(torch.equal(one, other) for one, other in zip(weights, again.parameters(), strict=True))
    for other in (
        build(name, data, seed=1),
        build(name, data, seed=0, step=1),
        build(name, data, seed=0, purpose="else"),
    ):
        assert not torch.equal(weights[0], next(other.parameters()))


@pytest.mark.parametrize("name", TRAINED)
def test_a_few_steps_of_sgd_lower_the_loss(name: str) -> None:
    data = spec(1, 8)
    network, seen, labels = build(name, data, seed=0), images(data, 20), torch.arange(20) % 4
    optimiser = torch.optim.SGD(network.parameters(), lr=0.002)
    losses = []
    for _ in range(4):
        loss = cross_entropy(network(seen), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("name", MEMBERS)
def test_stateless_is_told_from_buffers_and_random_layers(name: str) -> None:
    network, seen = build(name, spec(1, 8), seed=0), images(spec(1, 8), 3)
    assert stateless(network) == (name in STATELESS)
    if stateless(network):
        assert torch.equal(network(seen), network(seen))


@pytest.mark.parametrize("name", [name for name in STATELESS if name not in ("vgg11:norm=none", "resnet18:norm=none")])
def test_stateless_networks_are_twice_differentiable_as_functions(name: str) -> None:
    data = spec(1, 8)
    network, seen = build(name, data, seed=0), images(data, 3).requires_grad_()
    weights = {key: value.detach().clone().requires_grad_() for key, value in network.named_parameters()}
    loss = cross_entropy(torch.func.functional_call(network, weights, (seen,)), torch.arange(3))
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    (second,) = torch.autograd.grad(sum((gradient**2).sum() for gradient in gradients), seen)
    assert second.isfinite().all()
    assert second.abs().sum() > 0


@pytest.mark.parametrize(
    ("side", "name", "found"),
    [
        (28, "convnet:width=32", "convnet:width=32"),
        (63, "convnet", "convnet"),
        (64, "convnet", "convnet:depth=4"),
        (128, "convnet:norm=layer", "convnet:norm=layer,depth=5"),
        (128, "convnet:side=64,width=8", "convnet:side=64,width=8,depth=4"),
        (128, "convnet:side=40,width=8", "convnet:side=40,width=8"),  # it sees 43 pixels
        (224, "convnet:depth=auto", "convnet:depth=6"),
        (224, "convnet:depth=2", "convnet:depth=2"),
        (224, "resnet18", "resnet18"),
        (224, "unknown", "unknown"),  # `build` refuses it
    ],
)
def test_large_images_write_the_depth_of_a_convnet_out(side: int, name: str, found: str) -> None:
    data = spec(3, side)
    assert sized(name, data) == found
    assert sized(found, data) == found


def test_settings_are_added_where_a_network_has_them_and_does_not_say() -> None:
    data = spec(3, 128)
    assert sized("convnet", data, width=64, side=64) == "convnet:width=64,side=64,depth=4"
    assert sized("convnet:width=32", data, width=64) == "convnet:width=32,depth=5"
    assert sized("mlp", data, side=64) == "mlp"
    assert sized("convnet", spec(3, 32), width=64) == "convnet:width=64"


@pytest.mark.parametrize("side", [64, 128, 224])
def test_sized_networks_take_the_images_that_they_were_sized_for(side: int) -> None:
    data = spec(3, side)
    assert build(sized("convnet:width=4", data), data, seed=0)(images(data, 1)).shape == (1, 4)


def test_own_networks_offer_their_features() -> None:
    data = spec(1, 8)
    for name in [name for name in MEMBERS if not name.startswith(FOREIGN)]:
        network = build(name, data, seed=0).eval()
        assert isinstance(network, Classifier)
        seen = images(data, 2)
        features = network.features(seen)
        assert features.shape == (2, network.head.in_features)
        assert torch.equal(network.head(features), network(seen))


def test_names_tell_how_to_write_each_network() -> None:
    assert [name for name, _, _ in names()] == [
        "convnet",
        "mlp",
        "alexnet",
        "vgg11",
        "resnet18",
        "strided",
        "torchvision",
        "timm",
    ]
    usage = {name: usage for name, usage, _ in names()}
    assert usage["convnet"] == "convnet[:width=128,depth=auto,norm=instance,side=auto]"
    assert (usage["alexnet"], usage["torchvision"]) == ("alexnet[:width=128]", "torchvision:NAME")
    assert all(summary for _, _, summary in names())


def test_the_table_of_the_documentation_is_true() -> None:
    table = [line.split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    rows = {
        write.strip(" `"): (what.strip(), int(count.split()[-1].replace(",", "")))
        for _, write, what, count, *_ in table
    }
    assert {usage: what for usage, (what, _) in rows.items()} == {usage: summary for _, usage, summary in names()}
    for name, usage, _ in names():
        if name == "timm" and not find_spec("timm"):
            continue
        network = build(f"{name}:resnet18" if f"{name}:" in FOREIGN else name, spec(3, 32, classes=10), seed=0)
        assert sum(weight.numel() for weight in network.parameters()) == rows[usage][1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet", r"no network 'lenet'\. Choose from convnet\[:width=128.*timm:NAME\."),
        ("\x1b[2J", r"no network '\\\\x1b\[2J'"),
        ("convnet:colour=red", r"convnet has no setting 'colour'\. Write convnet\[:width=128"),
        ("alexnet:norm=none", r"alexnet has no setting 'norm'\. Write alexnet\[:width=128\]"),
        ("convnet:width=0", "width of convnet is '0'. Give a whole number from 1 to 1024"),
        ("convnet:width=1025", "width of convnet is '1025'"),
        ("vgg11:norm=group", "norm of vgg11 is 'group'. Choose from instance, batch, layer, none"),
        ("vgg11:width=257", "width of vgg11 is '257'. Give a whole number from 1 to 256"),
        ("resnet18:width=0", "width of resnet18 is '0'"),
        ("mlp:depth=two", "depth of mlp is 'two'"),
        ("mlp:depth", "'depth' in 'mlp:depth' is not a setting"),
    ],
)
def test_unknown_networks_and_settings_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, spec(1, 8), seed=0)


@pytest.mark.parametrize("name", ["alexnet:width={}", "vgg11:width={}", "resnet18:width={}"])
def test_the_width_is_that_of_the_first_convolution_and_the_others_follow(name: str) -> None:
    def widths(width: int) -> list[int]:
        modules = build(name.format(width), spec(3, 32), seed=0).modules()
        return [module.out_channels for module in modules if isinstance(module, nn.Conv2d)]

    assert widths(6)[0] == 6
    assert [3 * width for width in widths(2)] == widths(6)


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_images_that_are_too_small_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} needs images of at least 8x8 pixels, and these are 7x7.*mlp"):
        build(name, spec(1, 7), seed=0)
