"""The workflow runs what .ci/run runs, on the oldest Python and torch that pyproject.toml allows, and may only read."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CALLS = re.compile(r"\.venv/bin/(memcli|pytest|ruff|mypy)\b")


def read(path: Path) -> dict[Any, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def calls(lines: list[str]) -> set[str]:
    """The lines that call what is installed in .venv."""
    return {line.strip() for line in lines if CALLS.search(line)}


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def floor(name: str) -> tuple[int, ...]:
    """The least version of the dependency `name`."""
    (least,) = [wanted for wanted in PROJECT["dependencies"] if re.match(rf"{name}\W", wanted)]
    return version(least)


@pytest.fixture(scope="module")
def tests() -> dict[Any, Any]:
    return read(ROOT / ".github" / "workflows" / "tests.yml")


@pytest.fixture(scope="module")
def matrix(tests: dict[Any, Any]) -> list[dict[str, Any]]:
    included = tests["jobs"]["tests"]["strategy"]["matrix"]["include"]
    assert isinstance(included, list)
    return included


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_major_version(path: Path) -> None:
    used = [step["uses"] for step in steps(read(path)) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[\w-]+@v\d+", name)] == []


def test_tests_run_on_push_and_on_pull_request(tests: dict[Any, Any]) -> None:
    assert set(tests[True]) == {"push", "pull_request"}  # YAML 1.1 reads the key `on` as true


def test_the_workflow_and_ci_run_the_same(tests: dict[Any, Any]) -> None:
    lines = [line for step in steps(tests) for line in step.get("run", "").splitlines()]
    assert calls(lines) == calls(SCRIPT)
    assert len(calls(lines)) == 6


def test_linters_run_once(tests: dict[Any, Any], matrix: list[dict[str, Any]]) -> None:
    assert [member["lint"] for member in matrix].count(True) == 1
    for step in steps(tests):
        lints = re.search(r"ruff|mypy", step.get("run", "")) is not None
        assert step.get("if") == ("matrix.lint" if lints else None)


def test_the_oldest_and_the_newest_are_tested(matrix: list[dict[str, Any]]) -> None:
    oldest, *_, newest = sorted(matrix, key=lambda member: version(member["python"]))
    assert version(oldest["python"]) == version(PROJECT["requires-python"])
    chosen = dict(wanted.split("==") for wanted in oldest["torch"].split())
    assert set(chosen) == {"torch", "torchvision"}
    assert version(chosen["torch"]) == floor("torch")
    assert newest["torch"] == "torch torchvision", "no version: the newest"


def test_the_first_and_the_last_python_that_the_package_names_are_tested(matrix: list[dict[str, Any]]) -> None:
    named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if ":: Python ::" in text]
    assert sorted((named[0], named[-1])) == sorted(member["python"] for member in matrix)


def test_versions_of_python_are_text(matrix: list[dict[str, Any]]) -> None:
    assert all(isinstance(member["python"], str) for member in matrix), "unquoted, 3.10 is the number 3.1"
