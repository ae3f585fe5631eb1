"""Recall images between two classes, from all of one to all of the other, and save them as a grid.

    python examples/mixture.py photos.safetensors cat dog grid.png

Each line of the grid is one mixture: 100 % cat, 75 % cat and 25 % dog, ...
"""

import argparse

import torch
from torchvision.utils import save_image

import memcli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("memory")
    parser.add_argument("first", help="the name of a class")
    parser.add_argument("second", help="the name of another")
    parser.add_argument("output", help="a .png file")
    parser.add_argument("--lines", type=int, default=5)
    parser.add_argument("--columns", type=int, default=10)
    given = parser.parse_args()
    memory = memcli.load(given.memory)
    columns = min(given.columns, memory.spec.rows)
    lines = []
    for share in torch.linspace(1, 0, given.lines).tolist():
        images, _ = memory.recall(f"{given.first}:{share},{given.second}:{1 - share}")
        lines.append(images[:columns])
    save_image(torch.cat(lines).clamp(0, 1), given.output, nrow=columns, padding=1)
    print(f"{given.output}: {given.lines} lines of {columns} images")


if __name__ == "__main__":
    main()
