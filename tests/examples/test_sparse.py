"""The benchmark of sparse addresses, at a size at which its figures mean nothing."""

import json
from pathlib import Path

import pytest
import sparse

TINY = ["--source", "digits", "--ipc", "1", "--steps", "1", "--train", "2", "--networks", "1"]


def test_it_measures_each_cell_at_equal_bytes_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sparse.jsonl"
    for cells in (["real"], ["real", "2/12/1/int8"]):  # the second call finds the first made
        sparse.main([*TINY, "--out", str(out), "--cells", *cells])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    of_memory = "digits 1ipc: 2 of 12, scale 1, int8"
    names = ["digits 1ipc: real images, start", f"{of_memory}, start", f"{of_memory}, 1 steps at 0.01"]
    assert [line["name"] for line in lines] == names
    assert all(0.9 * 2560 < line["bytes"] <= 2560 and line["rows"] > 0 for line in lines)
    assert all(0 <= accuracy <= 1 for line in lines for accuracy in line["accuracies"])
    capsys.readouterr()
    sparse.main(["--table", "--out", str(out)])
    assert capsys.readouterr().out.count("\n") == 2 + len(lines)


def test_a_cell_may_say_its_rows() -> None:
    assert sparse.parsed("1/30/2/int4/3") == sparse.Cell(bases=30, support=1, scale=2, storage="int4", rows=3)
    assert sparse.parsed("16/256/1/int4").rows is None
