"""Train your own network on a memory in plain PyTorch, and test it on real images.

python examples/plain_pytorch.py photos.safetensors photos 20  # epochs
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

import memcli
from memcli.data.sources import aligned


def main(memory_file: str, source: str, epochs: str = "20") -> None:
    memory = memcli.load(memory_file)
    data = memory.spec.data
    convolution, pool = nn.Conv2d(data.channels, 32, 3, padding=1), nn.AdaptiveAvgPool2d(4)
    network = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(32 * 16, len(data.classes)))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    loader = DataLoader(memory.dataset(), batch_size=20, shuffle=True)  # pixels in units of [0, 1]
    for _ in range(int(epochs)):
        for images, labels in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
    test = aligned(memcli.open_source(source, shape=data.shape), data).split("test")  # 8-bit pixels
    with torch.no_grad():
        answers = network(test.whole() / 255).argmax(1)
    print(f"{100 * (answers == test.labels).float().mean():.1f} % of {len(test)} test images")


if __name__ == "__main__":
    main(*sys.argv[1:])
