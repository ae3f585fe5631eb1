"""Data sets of the Hub, from a stand-in for it and from the cache."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_stub import Hub, serving

from memcli.data.sources import open_source
from memcli.errors import DataError, UsageError

constants = pytest.importorskip("huggingface_hub.constants", reason="needs huggingface_hub, of the extra `hf`")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the Hub, with an empty cache."""
    with serving() as stub:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, stub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", stub.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        yield stub


@pytest.fixture
def repository(hub: Hub, shard: Callable[..., Path]) -> Hub:
    """It holds a data set of two Parquet files, and a script."""
    shard("train-0", [0, 1, 1, 0], ["cat", "dog"])
    folder = shard("test-0", [1, 0], ["cat", "dog"])
    files = {f"data/{path.name}": path.read_bytes() for path in folder.iterdir()}
    hub.files["some/pets"] = files | {"pets.py": b"raise SystemExit", "README.md": b"---\nlicense: mit\n---\n"}
    return hub


def test_nothing_is_fetched_unless_that_is_allowed_and_then_the_cache_serves(repository: Hub) -> None:
    with pytest.raises(DataError, match=r"hf:some/pets is not in the local cache. .*add `download`"):
        open_source("hf:some/pets")
    assert repository.asked == []
    source = open_source("hf:some/pets", download=True)
    assert (source.name, source.classes, source.shape) == ("pets", ("cat", "dog"), (3, 8, 8))
    assert (len(source.split("train")), len(source.split("test"))) == (4, 2)
    assert not [line for line in repository.asked if line.endswith((".py", ".md"))]
    repository.asked.clear()
    again = open_source("hf:some/pets")
    assert again.fingerprint == source.fingerprint
    assert repository.asked == []
    with pytest.raises(DataError, match=r"hf:some/pets@v2 is not in the local cache"):
        open_source("hf:some/pets@v2")


def test_an_interrupted_download_is_not_taken_for_a_data_set(repository: Hub, tmp_path: Path) -> None:
    open_source("hf:some/pets@main", download=True)
    blobs = tmp_path / "cache" / "datasets--some--pets" / "blobs"
    (blobs / "abc.incomplete").write_bytes(b"")
    with pytest.raises(DataError, match=r"the download of hf:some/pets was interrupted. Go on with it: add `download`"):
        open_source("hf:some/pets")
    assert repository.files


def test_one_of_several_configurations_is_chosen_by_its_folder(repository: Hub) -> None:
    files = repository.files["some/pets"]
    files |= {name.replace("data/", "small/"): files.pop(name) for name in list(files) if name.startswith("data/train")}
    with pytest.raises(DataError, match=r"several sets, in the folders 'data', 'small'. Choose one, such as hf:some"):
        open_source("hf:some/pets", download=True)
    source = open_source("hf:some/pets/small", download=True)
    assert len(source.split("train")) + len(source.split("test")) == 4


def test_shards_and_image_files_are_read_too(hub: Hub, folder: Callable[..., Path]) -> None:
    root = folder({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    hub.files["some/files"] = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    source = open_source("hf:some/files", download=True)
    assert (source.classes, len(source.split("train")), len(source.split("test"))) == (("cat", "dog"), 6, 2)
    hub.files["some/zip"] = {"all.zip": b""}
    with pytest.raises(DataError, match=r"no image files. .* hf:some/zip@refs%2Fconvert%2Fparquet"):
        open_source("hf:some/zip", download=True)


def test_what_the_hub_refuses_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"there is no hf:some/pets that you may see. Check the name"):
        open_source("hf:some/pets", download=True)
    hub.token = "secret"
    with pytest.raises(DataError, match=r"hf:some/pets.*HF_TOKEN"):
        open_source("hf:some/pets", download=True)
    for text in ("mnist", "a/b c", "a/../../b", ""):
        with pytest.raises(UsageError, match=r"Write hf:USER/NAME\[@REVISION\]"):
            open_source(f"hf:{text}")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'memcli\[hf\]'"):
        open_source("hf:some/pets")
