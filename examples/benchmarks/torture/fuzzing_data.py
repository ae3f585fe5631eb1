"""Bytes from atheris (libFuzzer) as npz, Parquet, tar and table files: nothing but memcli's own errors may come out."""

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torture import Cases

MOST_MIB = 3072  # of the whole process, beyond which libFuzzer calls it a fault
READERS = ("npz", "npz-images", "npz-labels", "parquet", "webdataset", "table")


def run(cases: "Cases") -> None:
    """Each reader, in a process of its own, from the good files of the tests."""
    from torture._fuzzing import fuzz

    fuzz(cases, __file__, READERS, "-max_len=65536", "-timeout=20", f"-rss_limit_mb={MOST_MIB}")


def _written(reader: str, folder: Path, data: bytes) -> str:
    """A data set in `folder` whose file, array or table has these bytes; the text that names it."""
    import bad_arrays
    import bad_folders

    if reader.startswith("npz-"):  # inside the archive, whose checksums would refuse most changes
        return bad_arrays.members(zipfile.ZIP_STORED, **{reader.removeprefix("npz-"): data})(folder)
    if reader == "table":
        return bad_folders.labelled("labels.csv", data)(folder)
    file = folder / {"npz": "set.npz", "parquet": "set.parquet", "webdataset": "set.tar"}[reader]
    file.write_bytes(data)
    return f"{reader}:{file}"


def _seed(reader: str, folder: Path) -> bytes:
    """Good bytes to begin with."""
    import bad_arrays
    import bad_folders
    import pyarrow

    if reader.startswith("npz-"):
        return bad_arrays.stored(bad_arrays.GOOD[reader.removeprefix("npz-")])
    if reader == "table":
        return b"file,label\nimage0.png,a\nimage1.png,b\nimage2.png,a\nimage3.png,b\n"
    table = bad_arrays.table(pyarrow.array([0, 1] * 5))
    text = {"npz": bad_arrays.arrays(), "parquet": table, "webdataset": bad_folders.tar()}[reader](folder)
    return Path(text.partition(":")[2]).read_bytes()


def _look(reader: str, folder: Path) -> Callable[[bytes], None]:
    """What a run reads first."""
    from memcli.data.sources import open_source
    from memcli.data.summary import summary
    from memcli.errors import MemcliError

    def look(data: bytes) -> None:
        with contextlib.suppress(MemcliError):
            summary(open_source(_written(reader, folder, data)), seed=0)

    return look


if __name__ == "__main__":
    from _fuzzing import feed

    feed(["memcli.data", "zipfile", "tarfile", "numpy.lib", "csv"], _seed, _look)
