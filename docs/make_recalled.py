"""Draw docs/recalled.png: what a memory of Fashion-MNIST recalls, beside the mean of real images.

python docs/make_recalled.py torchvision:FashionMNIST@../shared/data
"""

import sys
from pathlib import Path

import memcli

DOCS = Path(__file__).resolve().parent
MEMORY = DOCS / "results" / "fashion-1-int8-best-10-minutes" / "memory.safetensors"


def draw(source: str, picture: Path = DOCS / "recalled.png") -> None:
    memory = memcli.load(MEMORY)
    real = memcli.open_source(source, shape=memory.spec.data.shape).split("train")
    memcli.preview(memory, picture, real=real, force=True)


if __name__ == "__main__":
    draw(*sys.argv[1:])
