"""Whatever hypothesis makes of arrays, tables and bytes, a reader reads it or raises memcli's own errors."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import bad_arrays
import bad_folders
import numpy
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from memcli.data.sources import open_source
from memcli.data.summary import summary
from memcli.errors import MemcliError

SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9)
ARRAYS = arrays_of.arrays(arrays_of.scalar_dtypes() | arrays_of.nested_dtypes(max_leaves=2), SHAPES)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def read(text: str) -> None:
    with suppress(MemcliError):
        summary(open_source(text), seed=0)


@pytest.mark.filterwarnings("ignore:Stored array in format:UserWarning")
@EXAMPLES
@given(images=ARRAYS | st.just(bad_arrays.IMAGES), labels=ARRAYS | arrays_of.arrays(arrays_of.scalar_dtypes(), 10))
def test_arrays_of_any_type_and_shape(images: Any, labels: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        numpy.savez(Path(name) / "set.npz", images=images, labels=labels)
        read(f"npz:{name}/set.npz")


@EXAMPLES
@given(table=st.text(st.sampled_from("ab01,;\t\"'\n\r\0.\N{COMBINING ACUTE ACCENT}") | st.characters(), max_size=60))
def test_tables_of_any_text(table: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = f"file,label\nimage0.png,{table}\nimage1.png,b\n"
        read(bad_folders.labelled("labels.csv", rows.encode(errors="replace"))(folder))


@pytest.mark.parametrize("kind", ["npz", "parquet", "tar"])
@EXAMPLES
@given(data=st.data())
def test_good_files_with_some_bytes_changed(kind: str, data: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        good = {
            "npz": bad_arrays.arrays(),
            "parquet": bad_arrays.table(pyarrow.array([0, 1] * 5)),
            "tar": bad_folders.tar(),
        }
        text = good[kind](Path(name))
        path = Path(text.partition(":")[2])
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
        read(text)
