"""The benchmark of sets that are larger than memory, on sets so small that its figures mean nothing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import streaming
import tiny

from memcli.data.sources import open_source


def test_figures_of_each_size_are_kept_and_what_was_made_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streaming, "SHARD", 20)
    monkeypatch.setattr(streaming, "TEST", 10)
    monkeypatch.setattr("memcli.distillation.recipe.load_recipe", lambda _: tiny.recipe(2))
    source = open_source(f"parquet:{streaming.folder_of(tmp_path, 50)}")
    assert (source.shape, len(source.classes)) == ((3, 32, 32), 10)
    assert [len(source.split(name)) for name in ("train", "test")] == [50, 10]

    def run(command: list[str], **_how: object) -> Any:
        streaming.main([*command[2:]])
        return subprocess.CompletedProcess(command, 0, stdout=capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", run)
    assert streaming.main(["--out", str(tmp_path), "--images", "40", "50", "--steps", "2", "--remove"]) == 0
    figures = json.loads((tmp_path / "streaming.json").read_text())
    assert [each["images"] for each in figures] == [40, 50]
    assert all(each["seconds of a step"] > 0 and each["memory"] >= each["memory while decoding"] for each in figures)
    assert not (tmp_path / "made").exists()
