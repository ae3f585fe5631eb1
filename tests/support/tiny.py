"""What tests of whole runs share: a recipe that takes two steps, and a folder of photographs to run it on."""

from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """
check_networks = 1
[[stages]]
steps = 2
objective.kind = "unrolled"
objective.network = "mlp:width=8,depth=2"
objective.steps = 2
[check]
network = "mlp:width=8,depth=2"
steps = 2
[retrain]
network = "mlp:width=8,depth=2"
steps = 2
"""


def write_images(folder: Path, *, each: int = 12) -> None:
    """A folder of 8x8 photographs, `each` of cats and of dogs, which are brighter."""
    drawn = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for count in range(each):
            pixels = drawn.integers(0, 128, (8, 8, 3)) + 100 * number
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{count}.png")
