"""What an attack by a memory file is: its bytes, the exit codes that are right, and how it is tried."""

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from commands import inside
from sealing import put_together, taken_apart
from tiny import write_memory

Json = dict[str, Any]
DAMAGED, LIMIT, DIVERGED = 4, 5, 6
_ANSI = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Attack:
    """A bad memory file, and the exit codes that are right."""

    make: Callable[[], bytes]
    message: str = ""  # a pattern of the error
    code: int = DAMAGED  # of `inspect`, and of every command that `codes` does not have
    codes: Mapping[str, int] = field(default_factory=dict)  # of other commands


@cache
def good(storage: str = "float32", labels: str = "fixed", support: int = 0) -> bytes:
    """A small valid file: three classes of 1x8x8 images, three bases of 4x4, four rows."""
    settings = {"storage": storage, "labels": labels, "support": support}
    with tempfile.TemporaryDirectory() as folder:
        return write_memory(Path(folder) / "good.safetensors", **settings).read_bytes()


def changed(
    change: Callable[[Json, Json], object],
    payload: Callable[[bytes], bytes] = lambda old: old,
    storage: str = "float32",
    *,
    support: int = 0,
    seal: bool = True,
) -> Callable[[], bytes]:
    """The good file after `change(header, manifest)`, with checksums made anew unless `seal` is False."""

    def make() -> bytes:
        header, manifest, old = taken_apart(good(storage, "row" if storage.startswith("int") else "fixed", support))
        change(header, manifest)
        return put_together(header, manifest, payload(old), seal=seal)

    return make


def raw(header: bytes, payload: bytes = bytes(24), length: int | None = None) -> Callable[[], bytes]:
    """A file of that header, whose length is told as `length` where one is given."""
    return lambda: (len(header) if length is None else length).to_bytes(8, "little") + header + payload


def put(place: str, value: Any) -> Callable[[Json, Json], None]:
    """Set one value of the manifest: `put("data.height", 4)`."""

    def change(_header: Json, manifest: Json) -> None:
        *parts, last = place.split(".")
        for part in parts:
            manifest = manifest[part]
        manifest[last] = value

    return change


def resized(
    *, classes: int = 3, channels: int = 1, side: int = 8, bases: int = 3, scale: int = 2, rows: int = 4, **more: Any
) -> Callable[[], bytes]:
    """A valid file of zeros of that shape; `more` are settings of `retrain`, and `names` the classes' names."""
    names = more.pop("names", None) or [str(number) for number in range(classes)]

    def make() -> bytes:
        _, manifest, _ = taken_apart(good())
        manifest["data"] |= {"channels": channels, "height": side, "width": side, "classes": names}
        manifest["data"] |= {"mean": [0.5] * channels, "std": [0.25] * channels}
        manifest["memory"] |= {"bases": bases, "scale": scale, "rows": rows}
        manifest["retrain"] |= more
        small, header, at = side // scale, {}, 0
        for name, shape in (("bases", [bases, channels, small, small]), ("addresses", [rows, len(names), bases])):
            size = 4
            for length in shape:
                size *= length
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at := at + size]}
        return put_together(header, manifest, bytes(at))

    return make


COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": (),
    "verify": (),
    "recall": ("-o", "OUT.npz", "-q", "--device", "cpu"),
    "recall png": ("-o", "OUT", "-q", "--device", "cpu"),
    "retrain": ("-o", "OUT.safetensors", "-q", "--device", "cpu"),
    "eval": ("--data", "fake:classes=3,shape=1x8x8", "-q", "--runs", "1", "--device", "cpu"),
}


def tried(command: str, path: Path, attack: Attack) -> None:
    """Run the command on the file in `path`, and raise AssertionError where it does not end as it should."""
    words = [word.replace("OUT", str(path.parent / "out")) for word in COMMANDS[command]]
    before = set(path.parent.parent.rglob("*"))
    result = inside(command.split(maxsplit=1)[0], path, *words)
    told = f"{result.exit_code}: {result.stdout[-500:]}{result.stderr[-2000:]}"
    wanted = attack.codes.get(command, attack.code)
    assert result.exit_code == wanted, told
    assert result.exception is None or isinstance(result.exception, SystemExit), told
    assert not _ANSI.search(result.stdout + result.stderr), repr(told)
    assert "Traceback" not in result.stderr, told
    if wanted:
        *_, error = result.stderr.splitlines()
        assert error.startswith("memcli: error: "), told
        assert set(path.parent.parent.rglob("*")) == before, "it left something"
        assert re.search(attack.message, error), told
    else:
        made = set(path.parent.parent.rglob("*")) - before
        assert all(each.is_relative_to(path.parent / "out") or each.stem == "out" for each in made), made
