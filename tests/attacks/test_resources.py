"""Too little memory, too small a disk, a folder that cannot be written: less at a time, or one line that says so."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from typer.testing import CliRunner

from memcli.cli.app import app
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.distillation.estimate import disk_bytes
from memcli.distillation.learn import learn
from memcli.distillation.settings import RunSettings
from memcli.engine import ReverseOverReverse
from memcli.engine.compiling.backends import compiled, why_not_compiled
from memcli.errors import LimitError, UsageError
from memcli.files import runfolder, space
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks import build
from memcli.objectives import UnrolledObjective
from memcli.objectives.unrolled import Unrolled
from memcli.progress import Silent
from memcli.seeds import generator
from memcli.training.loop import predictions, train
from memcli.training.recipe import TrainRecipe

FAKE = "fake:n=60,test=30,classes=3,shape=1x8x8"
SOURCE = open_source(FAKE)
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
CPU = torch.device("cpu")
REAL = RealImages(SOURCE.split("train"), SOURCE.spec, CPU)
SETTINGS = Unrolled("mlp:width=8,depth=2", steps=4, per_class=2, real_per_class=3)


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def room_for(images: int) -> Callable[..., Tensor]:
    """A cross entropy that runs out of memory where there are more images."""

    def loss(logits: Tensor, *rest: Any) -> Tensor:
        if len(logits) > images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return cross_entropy(logits, *rest)

    return loss


@pytest.mark.parametrize("change", [{"networks": 2, "window": 1, "pool": 2}, {"optimiser": "adam", "augment": "shift"}])
def test_a_lighter_step_has_the_same_outcome(change: dict[str, Any]) -> None:
    memory, settings = from_data(SPEC, SOURCE.split("train"), seed=0), Unrolled(**{**vars(SETTINGS), **change})
    whole, light = (UnrolledObjective(settings, SPEC, CPU, derivatives=ReverseOverReverse) for _ in range(2))
    assert light.lighten()
    for step in range(2):
        wanted, found = (each.step(memory, 0.1, REAL, 0, step) for each in (whole, light))
        torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-5, atol=1e-6)
        for name, gradient in wanted.gradients.items():
            torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-3, atol=1e-6)


def test_steps_of_one_image_or_with_dropout_cannot_be_lighter(monkeypatch: pytest.MonkeyPatch) -> None:
    one = UnrolledObjective(SETTINGS, SPEC, CPU)
    assert [one.lighten() for _ in range(5)] == [True, True, True, False, False]  # of 9 images 4, 2, 1 at a time
    monkeypatch.setattr("memcli.objectives.unrolled.stateless", lambda _: False)
    assert not UnrolledObjective(SETTINGS, SPEC, CPU).lighten()


def test_a_distillation_goes_on_with_fewer_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, settings = tiny.recipe(2, inner=2, check=1, retrain=1), RunSettings(compile=False, bfloat16=False)
    wanted = learn(SOURCE, SPEC, recipe, settings)
    monkeypatch.setattr("memcli.objectives.unrolled.cross_entropy", room_for(5))
    told = Notes()
    found = learn(SOURCE, SPEC, recipe, settings, progress=told)
    assert [note for note in told.notes if "memory" in note] == [
        "the device ran out of memory: steps are done for fewer images at a time, with the same outcome to rounding"
    ]
    torch.testing.assert_close(found.artifact.memory.bases, wanted.artifact.memory.bases, rtol=1e-2, atol=1e-3)
    monkeypatch.setattr("memcli.objectives.unrolled.cross_entropy", room_for(0))
    with pytest.raises(torch.OutOfMemoryError):
        learn(SOURCE, SPEC, recipe, settings)


def trained(network: str, told: Notes) -> nn.Module:
    recipe = TrainRecipe(network, steps=4, batch=10, lr=0.05)
    images = torch.randn(4, 10, 1, 8, 8, generator=generator(0, "images"))
    labels = torch.rand(4, 10, 3, generator=generator(0, "labels")).softmax(-1)
    made = build(network, SOURCE.spec, seed=0)
    train(made, recipe, lambda step: (images[step], labels[step]), told)
    return made


def test_a_training_goes_on_with_parts_of_its_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = trained("convnet:width=4,depth=1", Notes())
    monkeypatch.setattr("memcli.training.gradient.cross_entropy", room_for(3))
    told = Notes()
    found = trained("convnet:width=4,depth=1", told)
    assert told.notes == [
        "the device ran out of memory: minibatches are done in parts, with the same gradient to rounding"
    ]
    for one, other in zip(found.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("network", "images", "message"),
    [
        ("convnet:width=4,depth=1,norm=batch", 3, "normalises over all 10 images of a minibatch.*smaller minibatches"),
        ("mlp:width=4", 0, "ran out of memory on one image. Train a smaller network"),
    ],
)
def test_a_training_that_no_parts_help_says_why(
    monkeypatch: pytest.MonkeyPatch, network: str, images: int, message: str
) -> None:
    monkeypatch.setattr("memcli.training.gradient.cross_entropy", room_for(images))
    with pytest.raises(LimitError, match=message):
        trained(network, Notes())


def test_a_test_goes_on_with_fewer_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = build("mlp:width=4", SOURCE.spec, seed=0), SOURCE.split("test")
    wanted, real = predictions(network, images, SOURCE.spec), LabelledImages.normalised

    def normalised(self: LabelledImages, spec: Any, chosen: Tensor) -> Tensor:
        if len(chosen) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, spec, chosen)

    monkeypatch.setattr(LabelledImages, "normalised", normalised)
    most = 7
    assert torch.equal(predictions(network, images, SOURCE.spec), wanted)
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        predictions(network, images, SOURCE.spec)


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, weights = tiny.write_memory(tmp_path / "m.safetensors"), tmp_path / "w.safetensors"
    assert CliRunner().invoke(app, ["retrain", str(memory), "-o", str(weights), "--steps", "1", "-q"]).exit_code == 0
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: (1000, 900, 100))
    before = sorted(tmp_path.iterdir())
    for command in (
        ("distill", FAKE, "-o", tmp_path / "f.safetensors"),
        ("recall", memory, "-o", tmp_path / "r.npz"),
        ("recall", memory, "-o", tmp_path / "pictures"),
        ("retrain", memory, "-o", tmp_path / "v.safetensors"),
        ("export", weights, "-o", tmp_path / "p.pt2"),
    ):
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exit_code == LimitError.exit_code, result.stderr
        assert " MiB of disk at " in result.stderr
        assert "0.0 MiB are free. Free some, or choose another --output." in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_does_not_tell_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: Path) -> None:
        raise OSError(errno.ENOSYS, "it does not tell")

    monkeypatch.setattr(space.shutil, "disk_usage", unknown)
    space.require_space("a/b/c", 1 << 60, "all of it")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: (0, 0, 0))  # as of /sys
    space.require_space("a/b/c", 1 << 60, "all of it")


@pytest.mark.parametrize("objective", [{}, {"network": f"{tiny.MLP} + mlp:width=64", "window": 1, "pool": 8}])
def test_a_run_takes_no_more_disk_than_was_counted(objective: dict[str, object], tmp_path: Path) -> None:
    recipe = tiny.recipe(2, inner=2, check=1, retrain=1, check_every=1).changed({"stages": [{"objective": objective}]})
    with runfolder.opened(tmp_path / "m.safetensors", {}, resume=False, force=False) as run:
        learn(SOURCE, SPEC, recipe, RunSettings(compile=False, bfloat16=False), run=run)
        taken = sum(path.stat().st_size for path in run.path.glob("checkpoint-*"))
    counted = disk_bytes(SPEC, recipe)
    assert counted / 10 < taken < counted + 20_000  # headers are of a fixed size


def test_a_folder_of_compiled_steps_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    from torch.fx import symbolic_trace

    with pytest.raises(UsageError, match=r"Not a directory: .*Set TORCHINDUCTOR_CACHE_DIR to a folder that can be"):
        compiled(symbolic_trace(lambda x: (x + 1,)), (torch.zeros(2),))
    assert "Not a directory" in str(why_not_compiled(CPU))
