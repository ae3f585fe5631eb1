"""The heads of Parquet pages, as pyarrow writes them. What nobody writes is in tests/attacks/bad_pages.py."""

from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import parquet

from memcli.data.sources._footer import footer
from memcli.data.sources._pages import _pages, rows_at_a_time

ROWS = 3000


@pytest.fixture
def table() -> pyarrow.Table:
    draws = numpy.random.default_rng(0)
    cells = [draws.bytes(draws.integers(1, 300)) for _ in range(ROWS)]
    images = pyarrow.array([{"bytes": cell, "path": None if len(cell) % 3 else "a.png"} for cell in cells])
    lists = pyarrow.array([[0.0] * (row % 4) for row in range(ROWS)])
    return pyarrow.table({"image": images, "label": pyarrow.array([row % 7 for row in range(ROWS)]), "lists": lists})


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("others", [{"use_dictionary": False}, {"write_page_checksum": True, "data_page_size": 2000}])
def test_all_pages_of_all_columns_are_found(
    tmp_path: Path, table: pyarrow.Table, version: str, compression: str, others: dict[str, Any]
) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path, data_page_version=version, compression=compression, row_group_size=1100, **others)
    with parquet.ParquetFile(path) as file, path.open("rb") as stream:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        columns = [column for group in footer(path) for column in group.columns]
        assert len(chunks) == len(columns) == 12
        for chunk, column in zip(chunks, columns, strict=True):
            pages = list(_pages(stream, column))
            assert sum(page.values for page in pages if page.kind != 2) == chunk.num_values
            packed, unpacked = (
                sum(sizes) for sizes in zip(*((page.packed, page.unpacked) for page in pages), strict=True)
            )
            heads = chunk.total_compressed_size - packed
            assert 0 < heads == chunk.total_uncompressed_size - unpacked


def test_fewer_rows_are_read_at_a_time_where_some_are_large(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = numpy.random.default_rng(0).bytes(1 << 20)
    cells = [b"small"] * 4000 + [bytes((row,)) + noise for row in range(8)]
    columns = pyarrow.table({"image": cells, "label": [0] * len(cells)})
    parquet.write_table(columns, path, use_dictionary=False, data_page_size=1 << 20, write_batch_size=1)
    with parquet.ParquetFile(path) as file:
        assert (
            rows_at_a_time(file, footer(path), "image", path) == 255
        )  # of a megabyte and a bit: 256 MiB, whatever the mean
        assert rows_at_a_time(file, footer(path), "label", path) == 1024
