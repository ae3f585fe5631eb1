"""Bytes from atheris (libFuzzer) as a memory file, its header, its manifest: only memcli's own errors may come out."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torture import Cases

MOST_MIB = 2048  # of the whole process, beyond which libFuzzer calls it a fault
TARGETS = ("file", "header", "manifest")


def run(cases: "Cases") -> None:
    """Each target, in a process of its own, from a good file."""
    from torture._fuzzing import fuzz

    fuzz(cases, __file__, TARGETS, "-max_len=16384", "-timeout=10", f"-rss_limit_mb={MOST_MIB}")


def _seed(target: str, _folder: Path) -> bytes:
    """Good bytes to begin with."""
    from memory_attacks import good
    from sealing import taken_apart

    length = int.from_bytes(good()[:8], "little")
    manifest = json.dumps(taken_apart(good())[1]).encode()
    return {"file": good(), "header": good()[8 : 8 + length], "manifest": manifest}[target]


def _look(target: str, folder: Path) -> Callable[[bytes], None]:
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
                (folder / "bad.safetensors").write_bytes(data)
                inspect(folder / "bad.safetensors")
            elif target == "header":
                accept(checked_header(data, size - length + len(data)), DEFAULT_LIMITS)
            else:
                manifest = Manifest.from_json(parse_json(data, KEY))
                for name, value in nested_lines("", manifest.to_json()):
                    assert printable(name + value).isprintable()

    return look


if __name__ == "__main__":
    from _fuzzing import feed

    feed(["memcli.files", "memcli.data.spec", "memcli.memory.spec", "memcli.text"], _seed, _look)
