"""Bytes from atheris (libFuzzer) as a memory file, its header, its manifest: only memcli's own errors may come out."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from torture import Cases

SECONDS = 60  # for each target; MEMCLI_FUZZ_SECONDS sets another time
MOST_MIB = 2048  # of the whole process, beyond which libFuzzer calls it a fault
TARGETS = ("file", "header", "manifest")


def run(cases: "Cases") -> None:
    """Each target, in a process of its own, from a good file."""
    seconds = int(os.environ.get("MEMCLI_FUZZ_SECONDS", SECONDS))
    for target in TARGETS:
        cases.attempt(f"{target}, {seconds} s", lambda target=target: _fuzzed(target, seconds))


def _fuzzed(target: str, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        command = [sys.executable, __file__, target, str(folder / "corpus"), f"-max_total_time={seconds}"]
        command += ["-max_len=16384", "-timeout=10", f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={folder}/"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
        said = ended.stderr + ended.stdout
        assert "No module named 'atheris'" not in said, "pip install atheris"
        assert ended.returncode == 0, said[-3000:]
        runs = re.findall(r"Done (\d+) runs", said)
        return {"inputs": int(runs[-1])} if runs else {}


def _read(target: str, path: Path) -> Callable[[bytes], None]:
    """What reads the bytes: as `memcli inspect` does, and no checksum hides what stands behind it."""
    from memory_attacks import good

    from memcli.errors import MemcliError
    from memcli.files.headers import KEY, checked_header, parse_json
    from memcli.files.inspection import inspect
    from memcli.files.limits import DEFAULT_LIMITS
    from memcli.files.manifest import Manifest
    from memcli.files.validation import accept
    from memcli.text import nested_lines, printable

    length = int.from_bytes(good()[:8], "little")
    size = len(good())

    def look(data: bytes) -> None:
        with contextlib.suppress(MemcliError):
            if target == "file":
                path.write_bytes(data)
                inspect(path)
            elif target == "header":
                accept(checked_header(data, size - length + len(data)), DEFAULT_LIMITS)
            else:
                manifest = Manifest.from_json(parse_json(data, KEY))
                for name, value in nested_lines("", manifest.to_json()):
                    assert printable(name + value).isprintable()

    return look


def main() -> None:
    """In the process that fuzzes: `TARGET CORPUS [flags of libFuzzer]`."""
    import atheris

    root = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(root / "tests" / "support"), str(root / "tests" / "attacks")]
    target, corpus = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=["memcli.files", "memcli.data.spec", "memcli.memory.spec", "memcli.text"]):
        import memcli.files.inspection  # noqa: F401  and with it all that reads
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        from memory_attacks import good
        from sealing import taken_apart

        length = int.from_bytes(good()[:8], "little")
        text = good()[8 : 8 + length]
        manifest = taken_apart(good())[1]
        seeds = {"file": good(), "header": text, "manifest": json.dumps(manifest).encode()}
        (corpus / "good").write_bytes(seeds[target])
        flags = [sys.argv[0], *sys.argv[3:], str(corpus)]
        atheris.Setup(flags, _read(target, Path(name) / "bad.safetensors"))
        atheris.Fuzz()


if __name__ == "__main__":
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).resolve().parent]
    main()
