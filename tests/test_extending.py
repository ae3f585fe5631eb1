"""docs/extending.md is a plug-in package that works: its files are written, found by entry points, and used."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (memcli_toy/\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
(GROUPS,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ENTRY_POINTS = tomllib.loads(GROUPS)["project"]["entry-points"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as an installer leaves it, and a broken plug-in of another package."""
    site = tmp_path_factory.mktemp("site")
    for name, text in {"memcli_toy/__init__.py": "", **FILES}.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in ENTRY_POINTS.items()
    ]
    broken = "[memcli.networks]\nspoilt = memcli_toy.nowhere:NETWORK\nstray = memcli_toy.source:SOURCE\n"
    for package, text in (("memcli_toy", "\n".join(lines)), ("memcli_broken", broken)):
        about = site / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(text)
    return site


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that commands run in."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def memcli(site: Path, work: Path) -> Run:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT))), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "memcli", *map(str, arguments)]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def memory(memcli: Run) -> str:
    """Learned with the source, recipe, objective, optimisers, augmentation, network and storage, and tracked."""
    named = ("--recipe", "hasty", "--storage", "int2", "--track", "lines")
    made = memcli("distill", "stripes:", "-o", "m.safetensors", *named, "--ipc", 2)
    assert made.returncode == 0, made.stderr
    return "m.safetensors"


def test_the_page_has_a_member_of_every_kind() -> None:
    from memcli.cli.app import COMMANDS
    from memcli.continual.tasks import BENCHMARKS
    from memcli.data.augmentations import AUGMENTATIONS
    from memcli.data.sources import SOURCES
    from memcli.distillation.optimisers import OUTER_OPTIMISERS
    from memcli.distillation.recipe import RECIPES
    from memcli.engine.optimisers import INNER_OPTIMISERS
    from memcli.exporters import EXPORTERS
    from memcli.jobs.baselines import BASELINES
    from memcli.jobs.protocols import PROTOCOLS
    from memcli.memory.storage import STORAGES
    from memcli.networks import NETWORKS
    from memcli.objectives import OBJECTIVES
    from memcli.trackers import TRACKERS

    kinds = (
        *(
            SOURCES,
            NETWORKS,
            OBJECTIVES,
            EXPORTERS,
            STORAGES,
            TRACKERS,
            OUTER_OPTIMISERS,
            INNER_OPTIMISERS,
            AUGMENTATIONS,
        ),
        *(BENCHMARKS, PROTOCOLS, BASELINES, RECIPES, COMMANDS),
    )
    assert [kind.group for kind in kinds] == list(ENTRY_POINTS)
    rows = re.findall(r"^\| ([\w ]+) \| `(memcli\.\w+)` \|", PAGE, re.MULTILINE)
    assert [group for _, group in rows] == list(ENTRY_POINTS)
    assert len(FILES) == len(kinds)


def test_a_memory_is_learned_with_plug_ins_and_says_so(memcli: Run, memory: str) -> None:
    told = json.loads(memcli("inspect", memory, "--json").stdout)
    assert told["memory"]["storage"] == "int2"
    assert told["data"]["classes"] == ["lying", "standing"]
    assert [stage["objective"]["kind"] for stage in told["recipe"]["stages"]] == ["means", "unrolled"]
    assert told["recipe"]["stages"][0]["outer"]["optimiser"] == "rmsprop"
    assert told["recipe"]["stages"][1]["objective"]["optimiser"] == "nesterov"


def test_a_tracker_follows_a_run(work: Path, memory: str) -> None:
    lines = (work / f"{memory}.run").joinpath("lines.txt").read_text().splitlines()
    assert any(line.startswith("1 {'loss': ") for line in lines)
    assert any("validation" in line for line in lines)


def test_a_recipe_is_listed_and_printed_whole(memcli: Run, site: Path) -> None:
    assert re.search(
        r"^hasty +of a plug-in: 3 steps of means, then 2 steps of unrolled$", memcli("recipes").stdout, re.M
    )
    (site / "printed.toml").write_text(memcli("recipes", "hasty").stdout)
    again = json.loads(memcli("recipes", site / "printed.toml", "--json").stdout)["recipe"]
    assert again == json.loads(memcli("recipes", "hasty", "--json").stdout)["recipe"] | {"name": "printed"}


def test_a_format_is_chosen_by_its_suffix(memcli: Run, memory: str) -> None:
    written = memcli("recall", memory, "-o", "images.csv", "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["format"] == "csv"


def test_a_network_has_its_settings(memcli: Run, memory: str) -> None:
    trained = memcli("retrain", memory, "-o", "net.safetensors", "--network", "linear:scale=2", "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["network"] == "linear:scale=2"
    assert "linear has no setting 'size'" in memcli("retrain", memory, "-o", "n", "--network", "linear:size=2").stderr


def test_a_protocol_and_a_baseline_measure(memcli: Run, memory: str) -> None:
    asked = ("--data", "stripes:", "--runs", 1, "--protocol", "short", "--baselines", "first", "--json")
    measured = memcli("eval", memory, *asked)
    assert measured.returncode == 0, measured.stderr
    told = json.loads(measured.stdout)
    assert told["results"][0]["steps"] == 5
    assert list(told["baselines"]) == ["first"]


def test_a_benchmark_runs(memcli: Run) -> None:
    run = memcli("continual", "shades", "--data", "digits", "-o", "shades", "--steps", 5, "--json", "-q")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["tasks"] == 2


def test_a_command_is_listed_and_runs(memcli: Run, memory: str) -> None:
    assert "classes" in memcli("--help").stdout
    assert memcli("classes", memory).stdout == "lying\nstanding\n"
    missing = memcli("classes", "nowhere.safetensors")
    assert missing.returncode != 0
    assert missing.stderr.startswith("memcli: error: ")


def test_a_file_of_a_storage_that_is_not_installed_is_refused(memcli: Run, memory: str, site: Path) -> None:
    plugin = site / "memcli_toy-1.0.dist-info" / "entry_points.txt"
    text = plugin.read_text()
    plugin.write_text(text.replace("int2", "other"))
    try:
        refused = memcli("inspect", memory)
    finally:
        plugin.write_text(text)
    assert refused.returncode == 4
    assert "unknown storage 'int2'" in refused.stderr


def test_checks_tell_of_every_plug_in(memcli: Run) -> None:
    told = json.loads(memcli("checks", "--json").stdout)
    faults = {plugin["name"]: plugin["fault"] for plugin in told["plugins"]}
    assert all(faults[name] is None for group in ENTRY_POINTS.values() for name in group)
    assert "cannot be imported" in faults["spoilt"]
    assert "and no Network" in faults["stray"]


def test_a_broken_plug_in_is_named_and_left_out(memcli: Run, memory: str) -> None:
    wrong = memcli("retrain", memory, "-o", "n.safetensors", "--network", "spoilt")
    assert wrong.returncode == 2
    assert "the plug-in 'memcli_toy.nowhere:NETWORK' of the network 'spoilt' cannot be imported" in wrong.stderr
    assert "Repair or uninstall it" in wrong.stderr
    stray = memcli("retrain", memory, "-o", "n.safetensors", "--network", "stray")
    assert "is a SourceKind, and no Network. Let its entry point name an instance" in stray.stderr
    unknown = memcli("retrain", memory, "-o", "n.safetensors", "--network", "nothing")
    assert "cannot be imported" in unknown.stderr
    assert "linear[:scale=1]" in unknown.stderr
