"""Draw the figures of docs/concepts.md from a memory in docs/results/: its bases, and how one image is recalled.

python docs/make_figures.py
"""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import memcli
from memcli.exporters.drawing import stretched

DOCS = Path(__file__).resolve().parent
MEMORY = DOCS / "results" / "fashion-1" / "memory.safetensors"
SIDE, GAP, TEXT = 84, 12, 20  # pixels: of a drawn image, between two, and of a line of text
SHOWN = 4  # bases of the recalled image


def main() -> None:
    memory = memcli.load(MEMORY).memory
    bases = memory.bases  # (K, C, h, w)
    pictures = [picture(basis) for basis in bases]
    across = 10
    sheet = Image.new("RGB", (across * (SIDE + GAP) - GAP, -(-len(pictures) // across) * (SIDE + GAP) - GAP), "white")
    for place, drawn in enumerate(pictures):
        sheet.paste(drawn, (place % across * (SIDE + GAP), place // across * (SIDE + GAP)))
    save(sheet, "bases.png")
    label = memory.spec.data.classes.index("Sneaker")
    address = memory.addresses[0, label]  # (K,)
    images, _ = memcli.load(MEMORY).recall("Sneaker")
    strongest = address.abs().argsort(descending=True)[:SHOWN].tolist()
    terms = [(f"{address[index]:+.2f} x", pictures[index]) for index in strongest]
    save(equation([*terms, ("+ … =", picture(images[0]))]), "recall.png")


def picture(values: Tensor) -> Image.Image:
    """One image (C, h, w), stretched to all grey levels and enlarged."""
    pixels = stretched(values[None])[0]
    return (
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB").resize((SIDE, SIDE), 0)
    )


def equation(terms: list[tuple[str, Image.Image]]) -> Image.Image:
    """The images in a line, each with its text before it."""
    font = ImageFont.load_default(TEXT)
    widths = [round(font.getlength(text)) for text, _ in terms]
    drawn = Image.new("RGB", (sum(widths) + len(terms) * (SIDE + 2 * GAP) - GAP, SIDE), "white")
    pen, left = ImageDraw.Draw(drawn), 0
    for (text, image), width in zip(terms, widths, strict=True):
        pen.text((left, SIDE / 2), text, "black", font, anchor="lm")
        drawn.paste(image, (left + width + GAP, 0))
        left += width + SIDE + 2 * GAP
    return drawn


def save(image: Image.Image, name: str) -> None:
    image.save(DOCS / name, optimize=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
