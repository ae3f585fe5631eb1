"""More data than memory: what a set's size costs, in memory and in time.

    python examples/benchmarks/streaming.py --out OUT --images 20000 200000 2000000

makes Parquet files of PNGs of 3x32x32, in files of 20,000, and distils from the first of them, from more and from all,
50 steps each, in a process of its own. It prints, and keeps in OUT/streaming.json: images decoded into the cache a
second; seconds until a later run has them; seconds of a step; and the most memory that the process held, over what it
holds when torch and memcli are imported. Times are of the processor, since other programs may run. The made files take
2 KB an image, and the cache 3 KB; `--remove` removes both in the end.
"""

import argparse
import io
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow
from PIL import Image
from pyarrow import parquet

SHARD, TEST, CLASSES, SIDE = 20_000, 2_000, 10, 32
NAME = "streaming.json"


def pngs(first: int, count: int) -> Iterator[bytes]:
    """Images `first` and following: a smooth pattern of the class, which is the number's last digit, and noise."""
    grid = numpy.random.default_rng(0).normal(128, 60, (CLASSES, 4, 4, 3)).clip(0, 255).astype(numpy.uint8)
    patterns = [numpy.asarray(Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for each in grid]
    draw = numpy.random.default_rng([1, first])
    for number in range(first, first + count):
        noise = draw.integers(0, 32, (SIDE, SIDE, 3), dtype=numpy.uint8)
        stream = io.BytesIO()
        Image.fromarray(patterns[number % CLASSES] // 2 + noise).save(stream, "PNG", compress_level=1)
        yield stream.getvalue()


def write_shard(path: Path, first: int, count: int) -> None:
    """A Parquet file of these images and their labels, if it is not there yet."""
    if path.exists():
        return
    pictures = [{"bytes": encoded} for encoded in pngs(first, count)]
    labels = [number % CLASSES for number in range(first, first + count)]
    table = pyarrow.table({"image": pictures, "label": labels})
    parquet.write_table(
        table, path.with_suffix(".part"), row_group_size=2_000, compression="none", use_dictionary=False
    )
    path.with_suffix(".part").rename(path)


def folder_of(out: Path, images: int) -> Path:
    """A folder of the files of so many images, made where they are missing."""
    made, folder = out / "made", out / f"{images}"
    for each in (made, folder):
        each.mkdir(parents=True, exist_ok=True)
    write_shard(made / "test-0000.parquet", 1 << 40, TEST)
    for number in range(-(-images // SHARD)):
        write_shard(made / f"train-{number:04}.parquet", number * SHARD, min(SHARD, images - number * SHARD))
        print(f"made {min((number + 1) * SHARD, images):,} of {images:,}", file=sys.stderr, flush=True)
    for path in sorted(made.glob("*.parquet"))[: 1 + -(-images // SHARD)]:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())
    return folder


def measured(folder: Path, out: Path, steps: int) -> dict[str, Any]:
    """The figures of one set; in this process, which should do nothing else."""
    import memcli
    from memcli.distillation.recipe import load_recipe
    from memcli.machine import peak_memory
    from memcli.progress import Callback, Silent

    class Notes(Silent):
        def note(self, message: str) -> None:
            print(message, file=sys.stderr, flush=True)

    class Clock(Callback):
        def __init__(self) -> None:
            self.last, self.each = time.process_time(), list[float]()

        def on_step(self, step: int, loss: float) -> None:
            del step, loss
            now = time.process_time()
            self.each.append(now - self.last)
            self.last = now

        def on_look(self, step: int, validation: float, best: float) -> None:
            del step, validation, best
            self.last = time.process_time()

    import torch  # what it takes is not counted

    torch.ones(8, 8) @ torch.ones(8, 8)
    start, laps = peak_memory(), [(time.monotonic(), time.process_time())]

    def lap() -> tuple[float, float]:
        laps.append((time.monotonic(), time.process_time()))
        return laps[-1][0] - laps[-2][0], laps[-1][1] - laps[-2][1]

    def opened() -> memcli.open_source:
        return memcli.open_source(f"parquet:{folder}", image_size=SIDE, cache=out / "cache", progress=Notes())

    images = len(opened().split("train"))
    decoding, after_decoding = lap(), peak_memory()
    source = opened()
    source.split("train")
    again = lap()
    clock = Clock()
    recipe = load_recipe("quick").changed({"check_networks": 1, "check": {"steps": 50}, "retrain": {"steps": 50}})
    memory = out / f"{images}.safetensors"
    memcli.distill(source, memory, recipe=recipe, steps=steps, device="cpu", compile=False, force=True, callback=clock)
    whole = lap()
    return {
        "images": images,
        "decoded images a second": images / decoding[1],
        "decoding": decoding,
        "later opening": again,
        "seconds of a step": statistics.median(clock.each[1:]),
        "distilling": whole,
        "memory at start": start,
        "memory while decoding": after_decoding - start,
        "memory": peak_memory() - start,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for all that is made")
    parser.add_argument("--images", type=int, nargs="+", default=(20_000, 200_000, 2_000_000))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--remove", action="store_true", help="remove what was made in the end, but for the figures")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # what a process of its own measures
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(measured(given.one, given.out, given.steps)))
        return 0
    figures = []
    for images in given.images:
        folder = folder_of(given.out, images)
        command = [sys.executable, __file__, "--out", given.out, "--one", folder, "--steps", given.steps]
        ended = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        figures.append(json.loads(ended.stdout.splitlines()[-1]))
        print(json.dumps(figures[-1], indent=1), flush=True)
        (given.out / NAME).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if given.remove:
        for each in ("made", "cache", *map(str, given.images)):
            shutil.rmtree(given.out / each, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
