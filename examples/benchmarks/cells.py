"""The cells of the results page: a data set at a budget each, the commands that make it, and what papers have there."""

import shlex
from dataclasses import dataclass
from pathlib import Path

CROSS = ("mlp", "alexnet", "vgg11", "resnet18")
PROTOCOLS = ("rtp", "idc")  # besides each memory's own; a step and a table each
STEPS = ("distill", "eval", *(f"eval-{name}" for name in PROTOCOLS), "eval-cross", "eval-full")


@dataclass(frozen=True)
class Cell:
    """One data set at one budget."""

    name: str
    data: str  # as in PUBLISHED
    source: str  # {data} stands for the folder of data sets
    ipc: int
    options: str  # of distill
    cross: bool = True
    budget: str = ""  # of distill; "": `ipc` images per class, counted in numbers
    network: str = "convnet:width=128"  # that is trained to measure

    def commands(self, data: str, folder: Path) -> dict[str, list[str]]:
        """The command of each step, without the shell; its output is the step's JSON file."""
        source, memory = self.source.format(data=data), str(folder / "memory.safetensors")
        measure = ["memcli", "eval", memory, "--data", source, "--json"]
        wide = [*measure, "--network", self.network]
        budget = shlex.split(self.budget or f"--ipc {self.ipc}")
        learn = ["memcli", "distill", source, "-o", memory, "--json", *budget]
        found = {
            "distill": [*learn, *shlex.split(self.options)],
            "eval": [*wide, "--baselines", "random,bytes"],
            **{f"eval-{name}": [*wide, "--protocol", name, "--baselines", "random,bytes"] for name in PROTOCOLS},
        }
        if self.cross:
            found["eval-cross"] = [*measure, *(part for name in CROSS for part in ("--network", name))]
        return {**found, "eval-full": [*wide, "--runs", "1", "--baselines", "full"]}


FASHION = "torchvision:FashionMNIST@{data}"
INT8 = "--budget 1ipc --storage int8"  # the bytes of one image per class in float32
INT4 = "--budget 10ipc --storage int4"
CELLS = {
    cell.name: cell
    for cell in (
        Cell("digits-1", "digits", "digits", 1, "--cells 24 --time-budget 60s", cross=False),
        Cell("mnist-1", "MNIST", "torchvision:MNIST@{data}", 1, "--time-budget 10m"),
        Cell("fashion-1", "Fashion-MNIST", FASHION, 1, "--time-budget 10m"),
        *(
            Cell(f"fashion-1{kind}{short}", "Fashion-MNIST", FASHION, 1, options, budget=budget)
            for options, short in (
                ("--time-budget 1m", "-minute"),
                ("--time-budget 3m", "-3-minutes"),
                ("--recipe best@2 --time-budget 10m", "-best-10-minutes"),
                ("--recipe best --time-budget 60m", "-best"),
            )
            for kind, budget in (("", ""), ("-int8", INT8))
        ),
        Cell("fashion-1-int8", "Fashion-MNIST", FASHION, 1, "--time-budget 10m", budget=INT8),
        Cell("fashion-1-hour", "Fashion-MNIST", FASHION, 1, "--recipe quick --time-budget 60m"),
        Cell("mnist-1-best", "MNIST", "torchvision:MNIST@{data}", 1, "--recipe best --time-budget 60m"),
        Cell("cifar10-1-best", "CIFAR-10", "parquet:{data}/cifar10", 1, "--recipe best --time-budget 60m"),
        Cell("fashion-10", "Fashion-MNIST", FASHION, 10, "--time-budget 30m"),
        *(
            Cell(f"fashion-10-int4{kind}", "Fashion-MNIST", FASHION, 10, f"{options}--time-budget 15m", budget=INT4)
            for kind, options in (("", ""), ("-sparse", "--support 16 "))
        ),
        Cell("cifar10-1", "CIFAR-10", "parquet:{data}/cifar10", 1, "--recipe quick --time-budget 60m"),
        Cell("cifar10-1-gpu", "CIFAR-10", "parquet:{data}/cifar10", 1, "--recipe gpu --time-budget 10m"),
        *(
            Cell(f"{name}-1-int8-gpu", data, source, 1, f"--recipe gpu --time-budget {time}", budget=INT8)
            for name, data, source, time in (
                ("mnist", "MNIST", "torchvision:MNIST@{data}", "4m"),
                ("fashion", "Fashion-MNIST", FASHION, "4m"),
                ("cifar10", "CIFAR-10", "parquet:{data}/cifar10", "9m"),
            )
        ),
        Cell("cifar10-10", "CIFAR-10", "parquet:{data}/cifar10", 10, "--time-budget 60m"),
        *(
            Cell(
                f"cifar10-{ipc}-int8-gpu",
                "CIFAR-10",
                "parquet:{data}/cifar10",
                ipc,
                f"--scale 2 --bases {bases} --recipe gpu --time-budget {time}",
                budget=f"--budget {ipc}ipc --storage int8",
                cross=False,
            )
            for ipc, bases, time in ((10, 400, "400s"), (50, 700, "30m"))
        ),
    )
}
TINY = Cell(  # for tests
    "tiny", "digits", "digits", 1, "--steps 2 --bases 4 --rows 2 --no-compile", cross=False, network="convnet:width=4"
)

# Test accuracy in per cent on ConvNet-3, budgets counted in floats, by (data, ipc). "?": quoted from memory and not
# checked against the paper's own table.
PUBLISHED = {
    ("CIFAR-10", 1): "RTP 66.4 ± 0.4; NSD 68.5 ± 0.8; DDiF 66.5 ± 0.4",
    ("CIFAR-10", 10): "RTP 71.2 ± 0.4; DDiF 74.0 ± 0.4; SPEED 73.5 ± 0.2",
    ("MNIST", 1): "RTP 98.7 ?; FreD 95.8 ?",
    ("Fashion-MNIST", 1): "RTP 88.5 ?; FreD 84.6 ?",
    ("Fashion-MNIST", 10): "RTP 90.0 ?; FreD 89.1 ?",
}
SOURCES = """RTP: Deng & Russakovsky, NeurIPS 2022, arXiv 2206.02916. FreD, SPEED: NeurIPS 2023. NSD: ECCV 2024.
DDiF: ICLR 2025. CIFAR-10 figures are as later papers' tables quote them. A figure with a question mark is quoted from
memory and was not checked. RTP's figures were selected on test data, and took days on a GPU; ours are selected on a
validation part of train. All of CIFAR-10 gives this network 84.8 ± 0.1 (Zhao et al., ICLR 2021)."""
