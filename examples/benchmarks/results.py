"""The results page: the commands that make each cell, a runner for them, and docs/results.md from what they printed.

    python examples/benchmarks/results.py commands                 # what makes every cell
    python examples/benchmarks/results.py run fashion-1 --data DIR  # make one; DIR: MNIST, FashionMNIST and cifar10
    python examples/benchmarks/results.py page                     # write docs/results.md from docs/results/

A cell is a folder in docs/results/: distill.json, eval.json, eval-rtp.json, eval-idc.json, eval-cross.json and
eval-full.json are what the commands print with --json, made.json says where and from which commit, and
memory.safetensors is the memory. What is missing is left blank on the page. eval-full trains on all real images, and
eval-idc for 1,000 epochs; either can take longer than all the rest.
A distillation that was stopped leaves its run folder, and `run` goes on with it, so that hours can be made in pieces.
"""

import argparse
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cells import CELLS, CROSS, PROTOCOLS, PUBLISHED, SOURCES, STEPS, TINY, Cell

ROOT = Path(__file__).resolve().parents[2]
HEAD = [
    *("cell", "data", "ipc", "protocol", "memory", "random, same floats", "random, same bytes"),
    *("all real images", "published, same floats"),
]
COSTS = [
    *("cell", "floats", "bytes", "bits per class", "recalled per class", "distilled in", "outer steps", "on", "commit"),
]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "docs/results", help="the folder of cells")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("commands", help="print what makes every cell").add_argument("--data", default="DATA")
    running = verbs.add_parser("run", help="make a cell, or what is missing of it")
    running.add_argument("cell", choices=[*CELLS, TINY.name])
    running.add_argument("--data", default="DATA", help="the folder of data sets")
    running.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="only these commands")
    verbs.add_parser("page", help="write the page").add_argument("-o", type=Path, default=ROOT / "docs/results.md")
    given = parser.parse_args(arguments)
    if given.verb == "commands":
        for cell in CELLS.values():
            for step, command in cell.commands(given.data, given.results / cell.name).items():
                print(f"{shlex.join(command)} > {given.results / cell.name / step}.json")
    elif given.verb == "run":
        run(CELLS.get(given.cell, TINY), given.data, given.results / given.cell, given.steps)
    else:
        given.o.write_text(page(given.results), encoding="utf-8")


def run(cell: Cell, data: str, folder: Path, steps: Sequence[str]) -> None:
    """Run those commands of the cell one after the other whose output is not there yet; stop where one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for step, command in cell.commands(data, folder).items():
        output = folder / f"{step}.json"
        if step not in steps or output.exists():
            continue
        if step == "distill":
            command.append("--resume")
        print(shlex.join(command), file=sys.stderr)
        made = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=False)
        if made.returncode:
            sys.exit(made.returncode)
        told = made.stdout.replace(str(folder), f"results/{folder.name}")  # so that no path of this machine is told
        told = told.replace(cell.source.format(data=data), cell.source.format(data="DATA"))
        json.loads(told)
        if step == "distill":
            how = {
                "machine": machine(),
                "commit": commit(),
                "command": shlex.join(cell.commands("DATA", Path())[step]),
            }
            (folder / "made.json").write_text(json.dumps(how, indent=2) + "\n", encoding="utf-8")
        output.write_text(told, encoding="utf-8")


def machine() -> str:
    """What distillation ran on, in words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads, {platform.machine()} CPU"


def commit() -> str:
    """The commit of the code, with a plus where the files differ from it; or that it is not known."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def page(results: Path) -> str:
    """The page, in Markdown, from the folders of cells in `results`."""
    cells = [cell for cell in CELLS.values() if (results / cell.name / "eval.json").exists()]
    told = [(cell, read(results / cell.name)) for cell in cells]
    full = {cell.data: found["eval-full"]["baselines"]["full"] for cell, found in reversed(told) if found["eval-full"]}
    main_rows = [row for cell, found in told for row in _accuracies(cell, found, full.get(cell.data, []))]
    cost_rows = [_costs(cell, found) for cell, found in told]
    cross_rows = [_cross(cell, found) for cell, found in told if found["eval-cross"]]
    made = [f"    # {cell.name}\n    {found['made'].get('command', '')}" for cell, found in told if found["made"]]
    parts = [
        "# Results",
        "Made by `python examples/benchmarks/results.py page` from what the commands printed; edit that, not this. "
        "Test accuracy in per cent, mean ± standard deviation (n) of fresh ConvNet-3 of width 128. All choices were "
        "made on a validation part of train. A cell is one memory; the deviation is over networks trained on it. All "
        "real images are trained on once for each data set, for ten epochs, by the optimiser, rate and batch of one "
        "cell.",
        "## Accuracy",
        "A line compares what was trained alike: `own` as the memory's file says, `rtp` and `idc` by the evaluations "
        "of RTP and of IDC (Kim et al., ICML 2022), which are told in [cli.md](cli.md#protocols).",
        table(HEAD, main_rows),
        SOURCES,
        "## Cost",
        table(COSTS, cost_rows),
        "## Other architectures, by the memory's own recipe; all but resnet18 twice as long, at a quarter of the rate",
        table(["cell", *CROSS], cross_rows),
        "## Commands",
        "`python examples/benchmarks/results.py commands` lists all; these made the cells above "
        "(DATA: the folder of data sets).",
        "\n\n".join(made) if made else "None yet.",
    ]
    return "\n\n".join(parts) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """What a cell's files say, by the file's name; None for one that is missing. Exits where one is damaged."""
    found: dict[str, Any] = {}
    for name in (*STEPS, "made"):
        path = folder / f"{name}.json"
        try:
            found[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except ValueError as error:
            sys.exit(f"{path} is damaged: {error}. Remove it and make the cell again.")
    return found


def _accuracies(cell: Cell, found: dict[str, Any], full: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each protocol that the cell was evaluated by; a published figure stands beside the memory's own."""
    counted = f"{cell.ipc}, in bytes" if cell.budget else str(cell.ipc)
    published = "" if cell.budget else PUBLISHED.get((cell.data, cell.ipc), "")
    rows = []
    for protocol in ("own", *PROTOCOLS):
        told = found["eval" if protocol == "own" else f"eval-{protocol}"]
        if told is None:
            continue
        baselines = told["baselines"]
        compared = [baselines.get("random", []), baselines.get("bytes", []), full if protocol == "own" else []]
        figures = [shown(each) for each in (told["results"], *compared)]
        rows.append([cell.name, cell.data, counted, protocol, *figures, published if protocol == "own" else ""])
    return rows


def _costs(cell: Cell, found: dict[str, Any]) -> list[str]:
    size, distilled, made = found["eval"]["size"], found["distill"] or {}, found["made"] or {}
    seconds = f"{distilled['seconds']:,.0f} s" if distilled else ""
    figures = [f"{size[key]:,.0f}" for key in ("floats", "bytes", "bits_per_class", "recalled_per_class")]
    return [
        cell.name,
        *figures,
        seconds,
        str(distilled.get("steps", "")),
        made.get("machine", ""),
        made.get("commit", ""),
    ]


def _cross(cell: Cell, found: dict[str, Any]) -> list[str]:
    by_network = {row["network"]: row for row in found["eval-cross"]["results"]}
    return [cell.name, *(shown([by_network[name]] if name in by_network else []) for name in CROSS)]


def shown(rows: list[dict[str, Any]]) -> str:
    """The first row's accuracy for people, or nothing."""
    if not rows:
        return ""
    accuracy = rows[0]["accuracy"]
    spread = f" ± {100 * accuracy['std']:.1f}" if accuracy["n"] > 1 else ""
    return f"{100 * accuracy['mean']:.1f}{spread} ({accuracy['n']})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
