"""The parts of torture.py: each file here that begins with no underscore is one, and has a function `run(cases)`.

    def run(cases: Cases) -> None:
        for number in range(1000):
            cases.attempt(f"kill {number}", lambda: killed_at(number))

An attempt raises where memcli did wrong, and returns figures to keep, or None.
"""

import importlib
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PARTS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")))
_TOLD = 3000  # characters of what went wrong


class Enough(Exception):
    """The time is over."""


class Cases:
    """The cases of one part, each tried once and kept as a line of JSON."""

    def __init__(
        self, part: str, keep: Path, *, only: str = "", ends: float = float("inf"), again: bool = False
    ) -> None:
        """`ends`: by time.monotonic, when no further case begins. `again`: those that failed are tried again."""
        self._part, self._keep, self._only, self._ends, self._again = part, keep, only, ends, again
        self._known = {
            result["case"] for result in kept(keep) if result["part"] == part and (result["right"] or not again)
        }

    def attempt(self, case: str, how: Callable[[], dict[str, Any] | None]) -> None:
        """Try `how`, unless it is known already. Raises Enough where the time is over."""
        if case in self._known or self._only not in case:
            return
        began = time.monotonic()
        if began > self._ends:
            raise Enough
        result: dict[str, Any] = {"part": self._part, "case": case, "right": True}
        try:
            result["figures"] = how() or {}
        except Exception as error:  # whatever it is, the case failed, and the others go on
            told = str(error) if isinstance(error, AssertionError) else "".join(traceback.format_exception(error))
            result |= {"right": False, "told": told[-_TOLD:], "figures": {}}
            print(f"{self._part}: {case} FAILED: {told[-_TOLD:]}", flush=True)
        result["seconds"] = round(time.monotonic() - began, 3)
        with self._keep.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")

    def elsewhere(self, environment: dict[str, str]) -> None:
        """The same part in a process of its own, with that environment."""
        minutes = (self._ends - time.monotonic()) / 60
        words = [self._part, "--keep", self._keep, "--only", self._only, "--minutes", minutes]
        command = [sys.executable, sys.argv[0], *map(str, words), *(["--again"] if self._again else [])]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)


def part(name: str) -> ModuleType:
    """The module of a part, whose first line of text says what it tries."""
    return importlib.import_module(f"torture.{name}")


def kept(path: Path) -> list[dict[str, Any]]:
    """The last result of each case in the file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    results = [json.loads(line) for line in lines]
    return list({(result["part"], result["case"]): result for result in results}.values())


def table(results: list[dict[str, Any]]) -> str:
    """One row a part in Markdown: what was tried, what failed, the worst time, and the worst of each figure."""
    rows = ["| part | tried | failed | slowest case, s | most of each figure |", "| --- | --- | --- | --- | --- |"]
    for name in sorted({result["part"] for result in results}):
        own = [result for result in results if result["part"] == name]
        failed = sum(not result["right"] for result in own)
        slowest = max(result["seconds"] for result in own)
        most: dict[str, float] = {}
        for result in own:
            for figure, value in result["figures"].items():
                most[figure] = max(value, most.get(figure, value))
        figures = ", ".join(f"{figure} {value:.4g}" for figure, value in most.items()) or "-"
        rows.append(f"| {name} | {len(own)} | {failed} | {slowest:.1f} | {figures} |")
    return "\n".join(rows)
