"""The README tells the truth: its test command is CI's, its commands parse, its links and its file tree exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from memcli.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:<!-- ([a-z ]+) -->\n)?```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for _, block in BLOCKS
    for line in re.split(r"\n|&&", block)
    if re.match(r"\s*(\S*/)?memcli ", line)
]


def test_ci_runs_the_test_command() -> None:
    (command,) = [block.strip() for name, block in BLOCKS if name == "test command"]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_ci_runs_the_first_command_s_steps() -> None:
    (command,) = [block for name, block in BLOCKS if name == "first command"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for step in ("distill digits --ipc 1", "--data digits --baselines random"):
        assert step in command
        assert step in script


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    commands = get_command(app)
    commands.commands[name].make_context(name, list(arguments))  # raises where an option is unknown or missing


def test_there_are_commands_to_parse() -> None:
    named = {shlex.split(command)[1] for command in COMMANDS}
    assert named == {"distill", "recall", "retrain", "predict", "eval", "inspect"}


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_file_tree_is_complete() -> None:
    (tree,) = re.findall(r"```\nmemcli/\n(.*?)\n```", README, re.DOTALL)
    told = set(re.findall(r"[\w]+(?:\.py|/)", tree.split("\ntests/")[0]))
    package = ROOT / "memcli"
    there = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    there |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert told == there
