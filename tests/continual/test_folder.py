"""What a stream's folder holds is untrusted: each edit of its index and its figures is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import edits
import pytest
import torch

from memcli.continual import Plan, opened, run_stream
from memcli.continual.measure import Figures
from memcli.continual.run import settings
from memcli.continual.tasks import Stream
from memcli.errors import MemoryFileError, UsageError
from memcli.files import container


def test_each_edit_of_index_and_figures_is_refused(
    open_small: Callable[[], Stream], plan: Plan, tmp_path: Path
) -> None:
    out, told = tmp_path / "out", settings("permutations", open_small(), plan, 0)
    with opened(out, told, resume=False, force=False) as folder:
        figures = run_stream(open_small, plan, folder, seed=0)
    (out / "figures.json").unlink()
    index, stream, taken = json.loads((out / "index.json").read_text()), open_small(), []
    last = index["tasks"][-1]["memory_sha256"]
    begun = {**index, "tasks": index["tasks"][:-1], "begun": last}  # as it is while the last network is trained
    for key, value, edited in (*edits.of_json(index, (None, "x", -1)), *edits.of_json(begun, ("x", -1))):
        (out / "index.json").write_text(json.dumps(edited))
        try:
            with opened(out, told, resume=True, force=False) as folder:
                folder.require_of(stream, folder.memories())
                if value is ... and key == "begun":
                    assert folder.present(stream.data) is None, "it is learned again"
                    continue
                if folder.begun is not None:
                    folder.present(stream.task_data(folder.finished))
                for number in range(folder.finished):
                    folder.network(number, stream.data)
        except (MemoryFileError, UsageError):
            continue
        taken.append(f"{key} {value}")
    assert taken == []
    for _, value, edited in edits.of_json(figures.to_json()):
        if value is True:
            continue
        with pytest.raises(MemoryFileError, match=r"figures of the stream are damaged\. Start afresh with `force`"):
            Figures.from_json(json.loads(json.dumps(edited)), 3)
    assert Figures.from_json(json.loads(json.dumps(figures.to_json())), 3) == figures


def test_a_network_of_other_images_is_refused(open_small: Callable[[], Stream], plan: Plan, tmp_path: Path) -> None:
    out, told = tmp_path / "out", settings("permutations", open_small(), plan, 0)
    with opened(out, told, resume=False, force=False) as folder:
        run_stream(open_small, plan, folder, seed=0)
        path = out / "network-000.safetensors"
        manifest, tensors = container.read(path, kind="network")
        rest = {key: value for key, value in manifest.items() if key not in ("sha256", "format")}
        data = {**manifest["data"], "mean": [0.25] * len(manifest["data"]["mean"])}
        for changed, wrong in (
            ({**rest, "data": data}, r"network-000\.safetensors takes other images"),
            (rest, "does not hold the weights of"),
        ):
            last = next(reversed(tensors))
            spoilt = {**tensors, last: torch.full_like(tensors[last], torch.nan)} if changed is rest else tensors
            folder.entries[0]["network_sha256"] = container.write(path, spoilt, changed, force=True)
            with pytest.raises(MemoryFileError, match=wrong):
                folder.network(0, open_small().data)
