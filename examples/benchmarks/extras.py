"""What an installation of memcli costs: the wheel, what it brings, and what each extra adds, each used once.

    python examples/benchmarks/extras.py --python python3.13 --markdown docs/platforms.md

Builds the sdist and the wheel of this checkout, installs the wheel in an environment that has nothing else, runs a
command of every kind in a folder outside the checkout, then adds each extra in turn and runs what needs it. Before an
extra is there, its command must end with the words that install it. Downloads some gigabytes; takes about ten minutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DISTILL = "distill digits --steps 4 -o memory.safetensors --force"
COMMANDS = (  # that the wheel alone must be able to run
    "--help",
    "checks",
    DISTILL,
    "inspect memory.safetensors",
    "recall memory.safetensors -o recalled --force",
    "retrain memory.safetensors -o net.safetensors --force",
    "eval memory.safetensors --data digits --runs 1",
    "export net.safetensors -o net.pt2 --force",
    "report memory.safetensors -o report.html --force",
)
USES = {  # of the extra: the command that it is there for
    "hf": "pull hf:nobody/nothing -o pulled.safetensors",  # HF_ENDPOINT is a port where nobody answers
    "onnx": "export net.safetensors -o net.onnx --force",
    "sign": "sign memory.safetensors --key key.pem --force",
    "tensorboard": f"{DISTILL} --track tensorboard",
    "timm": "retrain memory.safetensors -o timm.safetensors --network timm:test_vit --force",
    "trackio": f"{DISTILL} --track trackio",
    "wandb": f"{DISTILL} --track wandb",
}
WITHOUT_USE = ("docs", "test")  # for those who change memcli: continuous integration runs them
UNREACHABLE = "the Hub cannot be reached"
SETTINGS = {"HF_ENDPOINT": "http://127.0.0.1:9", "WANDB_MODE": "offline", "PYTHONWARNINGS": "ignore"}
Row = tuple[str, int, float]  # what is installed, the packages that come with it, their MB


class Environment:
    """A virtual environment with nothing in it, and a folder outside the checkout to work in."""

    def __init__(self, python: str, folder: Path) -> None:
        subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
        self.bin, self.work = folder / "venv" / "bin", folder / "work"
        self.work.mkdir()
        key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.work / "key.pem")]
        subprocess.run(key, check=True)

    def pip(self, *words: str) -> str:
        command = [str(self.bin / "pip"), "--disable-pip-version-check", "--quiet", *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=self.work).stdout

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of the environment, run in the folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MEMCLI"))}
        command, settings = [str(self.bin / words[0]), *words[1:]], kept | SETTINGS | {"HOME": str(self.work)}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.work, env=settings)

    def installed(self) -> dict[str, float]:
        """The packages, with the MB of their files."""
        (packages,) = self.bin.parent.glob("lib/python*/site-packages")
        return {each.name: _size(each) for each in distributions(path=[str(packages)])}


def _size(package: Distribution) -> float:
    paths = [Path(str(package.locate_file(file))) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist and the wheel of this checkout: the wheel is built of the sdist, as for a stranger."""
    made = Environment(sys.executable, folder)
    made.pip("install", "build")
    done = made.call("python", "-m", "build", "--outdir", str(folder), str(ROOT))
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def brings(environment: Environment, what: str) -> set[str]:
    """The names of the packages that pip would add for `what`."""
    report = environment.pip("install", "--dry-run", "--report", "-", what)
    return {item["metadata"]["name"].lower().replace("_", "-") for item in json.loads(report)["install"]} - {"memcli"}


def run(environment: Environment, command: str) -> None:
    """RuntimeError where the command fails."""
    print(f"memcli {command}", file=sys.stderr, flush=True)
    done = environment.call("memcli", *command.split())
    if done.returncode and UNREACHABLE not in done.stderr:
        raise RuntimeError(f"memcli {command} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def refused(environment: Environment, extra: str) -> None:
    """RuntimeError where the command of an extra that is not there does not say how to install it."""
    done = environment.call("memcli", *USES[extra].split())
    if not done.returncode or f"pip install 'memcli[{extra}]'" not in done.stderr:
        raise RuntimeError(f"memcli {USES[extra]} without {extra} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def import_ms(environment: Environment) -> float:
    """The milliseconds of `import memcli`, the median of nine; without the start of Python."""
    code = "import time; began = time.perf_counter(); import memcli; print(time.perf_counter() - began)"
    return 1000 * statistics.median(float(environment.call("python", "-c", code).stdout) for _ in range(9))


def measured(python: str, folder: Path) -> tuple[dict[str, float | str], list[Row]]:
    """Figures of the whole, and a row for the wheel alone and for each extra beside it."""
    (folder / "built").mkdir()
    sdist, wheel = build(folder / "built")
    environment = Environment(python, folder)
    before = environment.installed()
    environment.pip("install", str(wheel))
    alone = environment.installed()
    for command in COMMANDS:
        run(environment, command)
    names = {extra: brings(environment, f"{wheel}[{extra}]") for extra in declared()}
    for extra in USES:
        refused(environment, extra)
    quick = import_ms(environment)
    for extra in declared():
        environment.pip("install", f"{wheel}[{extra}]")
        if extra in USES:
            run(environment, USES[extra])
    sizes = {name.lower().replace("_", "-"): size for name, size in environment.installed().items()}
    rows = [("memcli alone", len(alone) - len(before), sum(alone.values()) - sum(before.values()))]
    rows += [(f"[{extra}]", len(names[extra]), sum(sizes[name] for name in names[extra])) for extra in names]
    figures = {
        "python": environment.call("python", "-V").stdout.strip(),
        "torch": environment.call("python", "-c", "import torch; print(torch.__version__)").stdout.strip(),
        "wheel_kb": wheel.stat().st_size / 1e3,
        "sdist_kb": sdist.stat().st_size / 1e3,
        "torch_mb": sum(size for name, size in alone.items() if name.startswith(("torch", "nvidia", "triton", "cuda"))),
        "import_ms": quick,
    }
    return figures, rows


def declared() -> list[str]:
    """The extras of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(project["optional-dependencies"])


def text(figures: dict[str, float | str], rows: list[Row]) -> str:
    """The sentences and the table of the page."""
    (_, packages, size), *others = rows
    lines = [
        f"The wheel has {figures['wheel_kb']:.0f} kB and the sdist {figures['sdist_kb']:.0f} kB. With",
        f"{figures['python']} and torch {figures['torch']} it brings {packages - 1} packages; of their {size:,.0f} MB",
        f"{figures['torch_mb']:,.0f} are torch with what it needs for GPUs. `import memcli` takes "
        f"{figures['import_ms']:.0f} ms.",
        "",
        "| extra | packages that it adds | MB |",
        "|---|---|---|",
        *(f"| `{name}` | {added} | {size:,.0f} |" for name, added, size in others),
    ]
    return "\n".join(lines)


def fill(page: Path, content: str) -> None:
    """Put `content` between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split("<!-- extras: begin -->")
    after = rest.split("<!-- extras: end -->")[1]
    page.write_text(f"{before}<!-- extras: begin -->\n\n{content}\n\n<!-- extras: end -->{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the Python of the new environment")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also put the table into its place in FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content = text(*measured(given.python, Path(folder)))
    print(content)
    if given.markdown:
        fill(given.markdown, content)


if __name__ == "__main__":
    main()
