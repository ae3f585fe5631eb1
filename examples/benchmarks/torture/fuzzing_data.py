"""Bytes from atheris (libFuzzer) as npz, Parquet, tar and table files: nothing but memcli's own errors may come out."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from torture import Cases

SECONDS = 60  # for each reader; MEMCLI_FUZZ_SECONDS sets another time
MOST_MIB = 3072  # of the whole process, beyond which libFuzzer calls it a fault
READERS = ("npz", "npz-images", "npz-labels", "parquet", "webdataset", "table")


def run(cases: "Cases") -> None:
    """Each reader, in a process of its own, from the good files of the tests."""
    seconds = int(os.environ.get("MEMCLI_FUZZ_SECONDS", SECONDS))
    for reader in READERS:
        cases.attempt(f"{reader}, {seconds} s", lambda reader=reader: _fuzzed(reader, seconds))


def _fuzzed(reader: str, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        command = [sys.executable, __file__, reader, str(folder / "corpus"), f"-max_total_time={seconds}"]
        command += ["-max_len=65536", "-timeout=20", f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={folder}/"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
        said = ended.stderr + ended.stdout
        assert "No module named 'atheris'" not in said, "pip install atheris"
        assert ended.returncode == 0, said[-3000:]
        runs = re.findall(r"Done (\d+) runs", said)
        return {"inputs": int(runs[-1])} if runs else {}


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


def _read(text: str) -> None:
    """What a run reads first."""
    from memcli.data.sources import open_source
    from memcli.data.summary import summary
    from memcli.errors import MemcliError

    with contextlib.suppress(MemcliError):
        summary(open_source(text), seed=0)


def main() -> None:
    """In the process that fuzzes: `READER CORPUS [flags of libFuzzer]`."""
    import atheris

    root = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(root / "tests" / "support"), str(root / "tests" / "attacks")]
    reader, corpus = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=["memcli.data", "zipfile", "tarfile", "numpy.lib", "csv"]):
        import memcli.data.sources  # noqa: F401  and with it all that reads
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (corpus / "good").write_bytes(_seed(reader, folder))
        flags = [sys.argv[0], *sys.argv[3:], str(corpus)]
        atheris.Setup(flags, lambda data: _read(_written(reader, folder, data)))
        atheris.Fuzz()


if __name__ == "__main__":
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).resolve().parent]
    main()
