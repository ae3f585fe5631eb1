"""A data set that calls classes otherwise than a memory does is measured on by names that are given, never guessed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from memcli.data.sources import Source, open_source
from memcli.data.spec import DataSpec
from memcli.errors import DataError
from memcli.jobs.classnames import renamed
from memcli.jobs.opening import open_aligned

NAMES = {"0 - zero": "0", "1 - one": "1"}


@pytest.fixture
def source() -> Source:
    return replace(open_source("fake:n=12,test=6,classes=3,shape=1x8x8"), classes=("0 - zero", "1 - one", "2"))


@pytest.fixture
def spec(source: Source) -> DataSpec:
    return DataSpec("digits", *source.shape, ("2", "1", "0"), (0.5,), (0.5,))


def test_labels_are_those_of_the_memorys_names(source: Source, spec: DataSpec, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps(NAMES))
    own = source.split("test").labels
    for names in (NAMES, path, str(path)):
        assert open_aligned(source, spec, class_names=names).split("test").labels.tolist() == (2 - own).tolist()


def test_without_names_the_error_names_the_way(source: Source, spec: DataSpec) -> None:
    with pytest.raises(DataError, match=r"lacks the classes '1', '0' and adds .* or tell by `class_names`"):
        open_aligned(source, spec)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"zero\n": "0"},
            r"renames 'zero\\\\n', and the data has '0 - zero', '1 - one', '2'\. Name classes as the data",
        ),
        ({"0 - zero": "2"}, r"calls several classes '2'\. Give each a name of its own"),
    ],
)
def test_names_that_do_not_fit_are_refused(source: Source, names: Mapping[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        renamed(source, names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"0 - zero": 0}', r"names\.json holds something else than names of classes\. Give an object of names"),
        (f'{{"0 - zero": "{"0" * (1 << 20)}"}}', r"names\.json is too large for names of classes"),
        ("0 - zero, 0", r"names\.json is not valid JSON: .*Give an object of names"),
        (None, r"names\.json cannot be read: No such file or directory\. Check the path"),
    ],
)
def test_files_without_names_are_refused(source: Source, content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        renamed(source, path)
