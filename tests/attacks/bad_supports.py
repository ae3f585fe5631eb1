"""Bad memory files of sparse addresses."""

from collections.abc import Callable
from typing import Any

from memory_attacks import LIMIT, Attack, Json, changed, good, put
from sealing import put_together, taken_apart


def supports() -> dict[str, Attack]:
    """Sparse memories, of 2 of 3 bases, that no writer writes, and small ones that ask for far too much."""

    def filled(byte: int) -> Callable[[bytes], bytes]:
        return lambda old: old[:-6] + bytes([byte]) * 6  # 24 numbers of 2 bits, at the end, since bytes come last

    def nothing(*_: Json) -> None:
        pass

    def sparse(place: str, value: Any, message: str = "") -> Attack:
        return Attack(changed(put(place, value), support=2), message)

    def moved(header: Json, _: Json) -> None:
        header["support"]["shape"] = [3, 2]

    found = {
        f"of bytes {byte:#04x}": Attack(changed(nothing, filled(byte), support=2), "support holds")
        for byte in (0, 0x1B, 0xFF)
    }
    found |= {
        f"{place} is {value}": sparse(place, value)
        for place, value in (
            ("memory.bases", 4),
            ("memory.bases", 257),
            ("memory.rows", 5),
            ("memory.support", 1),
            ("memory.support", 3),
        )
    }
    found["of another shape"] = Attack(changed(moved, support=2), "support has 2 dimensions, not 1")
    found["of format 2"] = sparse("format", 2, "of format 2, where a memory like this is of format 3")
    found["good"] = Attack(lambda: good(support=2), code=0, codes={"verify": 0, "recall": 0, "retrain": 0})
    found["a library for 30,000 classes"] = Attack(
        library(30_000, 40_000, 1), code=0, codes={"retrain": LIMIT, "eval": LIMIT}
    )
    return found


def library(classes: int, bases: int, rows: int) -> Callable[[], bytes]:
    """A valid file of zeros whose images are one basis of a pixel each: dense, its addresses were gigabytes."""

    def make() -> bytes:
        header, manifest, _ = taken_apart(good(support=2))
        manifest["data"] |= {"classes": [str(number) for number in range(classes)]}
        manifest["memory"] |= {"bases": bases, "scale": 8, "rows": rows, "support": 1}
        bits = (bases - 1).bit_length() * rows * classes
        header, at = {}, 0
        for name, dtype, shape, size in (
            ("bases", "F32", [bases, 1, 1, 1], 4 * bases),
            ("addresses", "F32", [rows, classes, 1], 4 * rows * classes),
            ("support", "U8", [-(-bits // 8)], -(-bits // 8)),
        ):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at := at + size]}
        return put_together(header, manifest, bytes(at))

    return make
