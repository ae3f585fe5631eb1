"""The footers of Parquet files, as pyarrow writes them. What nobody writes is in tests/attacks/bad_footers.py."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from memcli.data.sources._footer import footer


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_footer_says_what_pyarrow_reads_in_it(tmp_path: Path, dictionary: bool) -> None:
    path = tmp_path / "a.parquet"
    images = pyarrow.array([{"bytes": bytes((row % 256,)) * 9, "path": None} for row in range(1000)])
    table = pyarrow.table({"image": images, "label": [row % 7 for row in range(1000)]})
    parquet.write_table(table, path, row_group_size=30, use_dictionary=dictionary)
    metadata = parquet.read_metadata(path)
    groups = footer(path)
    assert [group.rows for group in groups] == [30] * 33 + [10]
    for number, group in enumerate(groups):
        columns = [metadata.row_group(number).column(place) for place in range(3)]
        assert [column.values for column in group.columns] == [column.num_values for column in columns]
        assert [column.size for column in group.columns] == [column.total_compressed_size for column in columns]
        starts = [column.dictionary_page_offset if dictionary else column.data_page_offset for column in columns]
        assert [column.start for column in group.columns] == starts


def test_a_file_without_rows_has_no_row_groups_or_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"label": pyarrow.array([], pyarrow.int64())}), path)
    assert sum(group.rows for group in footer(path)) == 0
