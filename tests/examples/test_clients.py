"""The clients of an export: each reads what was recalled."""

import random
from pathlib import Path

import clients
import pytest
import torch
from memories import artifact

import memcli

NEEDED = {"recalled.parquet": "datasets", "recalled.tar": "webdataset"}


# webdataset leaves the shard open, and moves the generator of `random`.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [name for name in clients.CLIENTS if name.startswith("recalled")])
def test_a_client_reads_every_value_and_label(name: str, tmp_path: Path) -> None:
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"needs {NEEDED[name]}")
    given = artifact(("zebra", "a/b", "cat"), channels=1)
    settings, read = clients.CLIENTS[name]
    memcli.recall(given, tmp_path / name, **settings)
    state = random.getstate()
    images, labels = read(tmp_path / name)
    random.setstate(state)
    wanted, asked = given.recall()
    assert torch.equal(images, wanted)
    assert torch.equal(labels, asked.argmax(1))


def test_every_format_has_a_client() -> None:
    from memcli.exporters import EXPORTERS

    suffixes = {Path(name).suffix for name in clients.CLIENTS}
    assert suffixes == {exporter.suffix for exporter in EXPORTERS.values()}


def test_the_table_has_a_line_for_each_format() -> None:
    text = clients.table({"recalled.npz": {"accuracies": [0.5, 0.6], "bytes": 1234}})
    assert text.splitlines()[-1] == "| recalled.npz | 55.00 ± 7.07 | 1,234 |"
