"""How well a network learns from each format of one memory, in plain PyTorch.

    python examples/benchmarks/formats.py photos.safetensors photos --runs 5 2> each.txt

A memory is recalled as npz, as PNG clipped to [0, 1] and as PNG of the whole range; each is read as its users would,
without memcli. Run i of every format starts from the same weights and takes the same minibatches, by the recipe of the
file. It prints one JSON object: for each format the accuracies on the test images, and the bytes on disk.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision import transforms
from torchvision.datasets import ImageFolder

import memcli
from memcli.data.sources import aligned
from memcli.engine.allocation import keep_freed_memory
from memcli.networks import build  # the literature's ConvNet, a plain nn.Module

Images = tuple[Tensor, Tensor]  # (n, C, H, W) pixels in units of [0, 1], and class numbers
Formats = dict[str, tuple[dict[str, str], Callable[[Path], Images]]]  # by output: the settings of recall, and a reader


def read_npz(path: Path) -> Images:
    with numpy.load(path) as arrays:
        return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])


def read_folder(path: Path) -> Images:
    told = json.loads((path / "memcli.json").read_text())
    transform = eval(told["transforms"]["torchvision.transforms"], {"transforms": transforms})
    folder = ImageFolder(path / "train", transform)
    number = {place: index for index, place in enumerate(told["folders"].values())}
    labels = [number[folder.classes[label]] for label in folder.targets]
    return torch.stack([image for image, _ in folder]), torch.tensor(labels)


FORMATS: Formats = {
    "images.npz": ({}, read_npz),
    "clip/": ({"encode": "clip"}, read_folder),
    "range/": ({"encode": "range"}, read_folder),
}


def train(network: nn.Module, images: Tensor, labels: Tensor, recipe: Any, seed: int) -> None:
    """SGD with momentum, each minibatch the same number of each class in shuffled epochs."""
    classes, draw = int(labels.max()) + 1, torch.Generator().manual_seed(seed)
    of_class = [torch.nonzero(labels == number).flatten() for number in range(classes)]
    each, queues = max(1, recipe.batch // classes), [torch.empty(0, dtype=torch.int64)] * classes
    optimiser = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    for _ in range(recipe.steps):
        for number, members in enumerate(of_class):
            while len(queues[number]) < each:
                shuffled = members[torch.randperm(len(members), generator=draw)]
                queues[number] = torch.cat([queues[number], shuffled])
        chosen = torch.cat([queue[:each] for queue in queues])
        queues = [queue[each:] for queue in queues]
        optimiser.zero_grad()
        cross_entropy(network(images[chosen]), labels[chosen]).backward()
        optimiser.step()


def _are_equal(one: Images, other: Images) -> bool:
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True))


def measured(arguments: list[str] | None, formats: Formats) -> dict[str, dict[str, Any]]:
    """For each of the formats: the accuracies, the bytes on disk, and the share of values outside [0, 1].

    A format that gives the very values of one before it, as `same_as` says, has its accuracies without training again.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("memory")
    parser.add_argument("source")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--network", default="", help="default: the file's")
    given = parser.parse_args(arguments)
    keep_freed_memory()
    artifact = memcli.load(given.memory)
    data = artifact.spec.data
    recipe = artifact.manifest.retrain.for_network(given.network or artifact.manifest.retrain.network)
    test = aligned(memcli.open_source(given.source, shape=data.shape), data).split("test")
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (data.mean, data.std))
    found: dict[str, dict[str, Any]] = {}
    read_before: dict[str, Images] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (settings, read) in formats.items():
            written = memcli.recall(artifact, f"{folder}/{name}", **settings)
            files = [path for path in (Path(folder) / name).rglob("*") if path.is_file()] or [Path(folder) / name]
            images, labels = read(Path(folder) / name)
            same = next(
                (other for other, read_then in read_before.items() if _are_equal(read_then, (images, labels))), ""
            )
            read_before[name] = images, labels
            images, accuracies = (images - mean) / std, list(found[same]["accuracies"]) if same else []
            for seed in range(len(accuracies), given.runs):
                network = build(recipe.network, data, seed=seed)
                train(network, images, labels, recipe, seed)
                network.eval()
                with torch.no_grad():
                    answers = [network((part / 255 - mean) / std).argmax(1) for part in test.images.split(500)]
                accuracies.append((torch.cat(answers) == test.labels).double().mean().item())
                print(f"{name} {seed}: {accuracies[-1]:.4f}", file=sys.stderr)
            found[name] = {
                "accuracies": accuracies,
                "bytes": sum(path.stat().st_size for path in files),
                "outside": written.clipped_share,
                "same_as": same or None,
            }
    return found


def main(arguments: list[str] | None = None) -> None:
    print(json.dumps(measured(arguments, FORMATS)))


if __name__ == "__main__":
    main()
