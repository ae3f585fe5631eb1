"""Bad memory files by kind, made by small generators that are the same every time."""

import random
import struct
from collections.abc import Callable
from typing import Any

from bad_supports import supports
from memory_attacks import LIMIT, Attack, Json, changed, good, put, raw, resized
from sealing import put_together, taken_apart

F32 = '{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}'
META = '"__metadata__":{"memcli":"{\\"kind\\":\\"memory\\"}"}'


def _cut() -> dict[str, Attack]:
    """Files that end early, go on too long, or have some bytes changed."""
    drawn, found = random.Random(0), {}
    whole = len(good())
    for share in (0, 1, 7, 8, 9, 100, whole // 2, whole - 100, whole - 1):
        found[f"cut to {share} bytes"] = Attack(lambda n=share: good()[:n], "too short|beyond the end|follow")
    for more in (1, 8, 10_000):
        found[f"{more} bytes too many"] = Attack(lambda n=more: good() + bytes(n), "its tensors need")
    for number in range(24):
        place, flip = drawn.randrange(whole), drawn.randrange(1, 256)

        def flipped(at: int = place, by: int = flip) -> bytes:
            data = bytearray(good())
            data[at] ^= by
            return bytes(data)

        found[f"byte {place} flipped ({number})"] = Attack(flipped)
    return found


def _lengths() -> dict[str, Attack]:
    values = (0, 1, 2**16, 10**6 + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
    return {
        f"a header of {value} bytes": Attack(lambda v=value: v.to_bytes(8, "little") + good()[8:]) for value in values
    } | {"a header of a megabyte": Attack(raw(b"{" + b" " * 10**6 + b"}"), "is too long")}


def _json() -> dict[str, Attack]:
    deep = 100_000
    texts: dict[str, str | bytes] = {
        "empty": "",
        "a list": "[]",
        "a number": "1",
        "half an object": '{"a":',
        "more after it": '{"a":1}{"b":2}',
        "a key twice": f'{{"a":{F32},"a":{F32}}}',
        "metadata twice": f"{{{META},{META}}}",
        "NaN": '{"a":NaN}',
        "Infinity": '{"a":-Infinity}',
        "beyond float64": '{"a":1e999}',
        "a number of 5,000 digits": '{"a":%s}' % ("9" * 5000),
        "nested 33 deep": '{"a":%s}' % ("[" * 33 + "]" * 33),
        "nested 100,000 deep": '{"a":%s}' % ("[" * deep + "]" * deep),
        "objects 100,000 deep": '{"a":' * deep + "1" + "}" * deep,
        "a lone surrogate": '{"\\ud800":1}',
        "UTF-16": '{"a":1}'.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf{}",
        "no UTF-8": b'{"\xff":1}',
        "a zero byte": b'{"a\x00":1}',
        "no metadata": f'{{"a":{F32}}}',
        "metadata that is a text": '{"__metadata__":"memcli"}',
        "metadata that is a number": '{"__metadata__":{"memcli":1}}',
        "metadata with more": '{"__metadata__":{"memcli":"{}","other":"x"}}',
        "a manifest that is a list": '{"__metadata__":{"memcli":"[]"}}',
        "a manifest nested 100,000 deep": '{"__metadata__":{"memcli":"%s"}}' % ("[" * deep + "]" * deep),
        "a manifest with a key twice": '{"__metadata__":{"memcli":"{\\"kind\\":1,\\"kind\\":2}"}}',
        "a manifest with NaN": '{"__metadata__":{"memcli":"{\\"kind\\":NaN}"}}',
        "80,000 tensors": f"{{{META}," + ",".join(f'"t{number}":{{}}' for number in range(80_000)) + "}",
        "a pickle": b"\x80\x04\x95\x1f\x00\x00\x00cos\nsystem\n",
        "a zip": b"PK\x03\x04",
    }
    return {name: Attack(raw(text.encode() if isinstance(text, str) else text)) for name, text in texts.items()}


def _tensors() -> dict[str, Attack]:
    entries: dict[str, Any] = {
        "no offsets": {"dtype": "F32", "shape": [2, 3]},
        "more keys": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], "x": 1},
        "a list": [],
        "an unknown dtype": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48]},
        "a dtype of control characters": {"dtype": "\x1b[2J", "shape": [2, 3], "data_offsets": [0, 24]},
        "a dtype that is a number": {"dtype": 1, "shape": [2, 3], "data_offsets": [0, 24]},
        "nine dimensions": {"dtype": "F32", "shape": [1] * 8 + [6], "data_offsets": [0, 24]},
        "a dimension of zero": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]},
        "a negative dimension": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]},
        "a dimension of 2^31": {"dtype": "F32", "shape": [2**31], "data_offsets": [0, 2**33]},
        "a product of 2^200": {"dtype": "F32", "shape": [2**30] * 7, "data_offsets": [0, 24]},
        "dimensions of floats": {"dtype": "F32", "shape": [2.0, 3.0], "data_offsets": [0, 24]},
        "dimensions of truth": {"dtype": "F32", "shape": [True, 6], "data_offsets": [0, 24]},
        "a huge dimension": {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 24]},
        "offsets the wrong way": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]},
        "negative offsets": {"dtype": "F32", "shape": [2, 3], "data_offsets": [-24, 0]},
        "offsets beyond": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 48]},
        "offsets of texts": {"dtype": "F32", "shape": [2, 3], "data_offsets": ["0", "24"]},
        "one offset": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24]},
    }
    found = {
        f"a tensor with {name}": Attack(
            changed(lambda header, _, e=entry: header.update(bases=e), seal=False), "tensor|hole|need"
        )
        for name, entry in entries.items()
        if name != "no offsets"
    }

    def moved(by: int) -> Callable[[Json, Json], object]:
        def change(header: Json, _: Json) -> None:
            header["bases"]["data_offsets"] = [at + by for at in header["bases"]["data_offsets"]]

        return change

    def aliased(header: Json, _: Json) -> None:
        header["twin"] = dict(header["bases"])

    for by in (-4, 4, 1, 10**6):
        found[f"bases moved by {by}"] = Attack(changed(moved(by)), "hole|overlap|need|malformed")
    found["two tensors of the same bytes"] = Attack(changed(aliased), "overlap")
    for name in ("bases2", "\x1b]0;x\x07", "../../etc/passwd", "\u202esesab", "x" * 100_000):
        found[f"bases called {name[:20]!r}"] = Attack(
            changed(lambda header, _, n=name: header.update({n: header.pop("bases")}))
        )
    return found


OTHER_KINDS = ("network", "checkpoint")  # which `verify` takes
WRONG_TYPES: dict[str, tuple[Any, ...]] = {  # of the manifest, and what none may be
    "kind": (None, 1, "network", "checkpoint", "\x1b[31m"),
    "format": (None, "2", 2.0, True, 0, -1, 3, 4, 10**30),
    "data": (None, [], "x", 1),
    "memory": (None, [], "x"),
    "retrain": (None, [], "x"),
    "recipe": (None, [], 7),
    "results": (None, [], "x"),
    "provenance": (None, [], {}, {"source": 1}),
    "seed": (None, "7", 1.5, 2**63, True),
    "data.name": (None, 3, "n" * 1001),
    "data.channels": (0, -1, "1", True, 1.0, 17, 10**18),
    "data.height": (0, "8", True, 8192, 2**62),
    "data.width": (None, 7, -8, 4097),
    "data.classes": ("abc", [], ["a", 1, "b"], ["a", "a", "b"], ["a", "b", "c" * 1001], {"a": 1}),
    "data.mean": (0.5, [], ["0.5"], [True], [1e300], [0.5, 0.5]),
    "data.std": ([0.0], [-1.0], [1e-300], [1e300], None),
    "data.zca": ([1.0], [1e308] * 5, "x", [0.0] * 5),
    "data.fit": ("no", 1),
    "data.extra": (1,),
    "memory.bases": (0, -3, 4, "3", 2**62, True),
    "memory.rows": (0, 5, 10**9, 10**30, None),
    "memory.scale": (0, 3, 16, -2),
    "memory.storage": ("int2", 1, None, "\x1b"),
    "memory.labels": ("row", "x", 0),
    "memory.cells": (1, -1, 300, "x"),
    "memory.support": (1, 3, -1, 2**62, "x", True),
    "retrain.network": (1, None, "n" * 1001),
    "retrain.steps": (0, -1, 10**6 + 1, 10**7, 2**63, 1.5, "3"),
    "retrain.batch": (0, 10**5 + 1, 10**7, True),
    "retrain.lr": (0, -0.1, 1e308, "0.1", None, 1001),
    "retrain.momentum": (1, -0.5, "x"),
    "retrain.decay": (2, -1),
    "retrain.noise": (-1, 1e308),
    "retrain.mixture": (1.5,),
    "retrain.drop": (2, "x"),
    "retrain.weight_decay": (-0.1,),
    "retrain.cutmix": (1.5, None),
    "retrain.augment": ("spin", "flip,\x1b", 3),
    "provenance.versions": (None, [], {"torch": 2}),
    "provenance.licence": (1,),
}


def _values() -> dict[str, Attack]:
    found = {
        f"{place} is {str(value)[:24]!r}": Attack(
            changed(put(place, value)),
            codes={"verify": 0} if value in OTHER_KINDS else {},
        )
        for place, values in WRONG_TYPES.items()
        for value in values
    }
    many = {str(number): 0 for number in range(70_000)}
    found["a recipe of 70,000 keys"] = Attack(changed(put("recipe", many)), "hold over 10000 values")
    long = {"k" * 300_000: {str(number): 0 for number in range(9000)}}
    found["a recipe with a key of 300,000 signs"] = Attack(changed(put("recipe", long)), "a key has over 200")
    return found


def _numbers() -> dict[str, Attack]:
    def first(value: float, form: str = "<f") -> Callable[[bytes], bytes]:
        return lambda old: struct.pack(form, value) + old[struct.calcsize(form) :]

    def nothing(*_: Json) -> None:
        pass

    values = {"NaN": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "3e38": 3e38, "-2e9": -2e9}
    found = {
        f"a number that is {name}": Attack(changed(nothing, first(value)), "not finite|numbers beyond")
        for name, value in values.items()
    }
    for kind in ("int8", "int4"):
        for fill in (0x00, 0x80, 0xFF):
            found[f"{kind} of bytes {fill:#04x}"] = Attack(
                changed(nothing, lambda old, f=fill: bytes([f]) * len(old), kind)
            )
    return found


def _unsealed() -> dict[str, Attack]:
    def make(change: Callable[[Json], object]) -> Callable[[], bytes]:
        def made() -> bytes:
            header, manifest, payload = taken_apart(good())
            change(manifest)
            return put_together(header, manifest, payload, seal=False)

        return made

    changes: dict[str, Callable[[Json], object]] = {
        "no checksum": lambda manifest: manifest.pop("sha256"),
        "another mean": lambda manifest: manifest["data"].update(mean=[0.4]),
        "other classes": lambda manifest: manifest["data"].update(classes=["1", "0", "2"]),
        "another licence": lambda manifest: manifest["provenance"].update(licence="MIT"),
        "a checksum in capitals": lambda manifest: manifest.update(sha256=manifest["sha256"].upper()),
        "a checksum that is a number": lambda manifest: manifest.update(sha256=0),
        "format 1 with labels": lambda manifest: manifest.update(format=1),
    }
    return {name: Attack(make(change)) for name, change in changes.items()}


def _greedy() -> dict[str, Attack]:
    """Files that are read, since they are small, and ask for far too much."""
    training = {"retrain": LIMIT, "eval": LIMIT}
    long = [f"{number:0999}" for number in range(900)]
    return {
        "16 channels of 4096x4096, 400 rows": Attack(
            resized(channels=16, side=4096, scale=4096, rows=400), code=0, codes={"recall": LIMIT} | training
        ),
        "a recall of 9,999,999 images": Attack(
            resized(rows=3_333_333, bases=1, side=32, scale=32), code=0, codes={"recall": LIMIT, "recall png": LIMIT}
        ),
        "a recall of 30,000,000 images": Attack(resized(rows=10_000_000, bases=1), "recalls 30,000,000 images", LIMIT),
        "40,000 classes": Attack(resized(classes=40_000, bases=30, rows=8), code=0, codes={"recall": LIMIT} | training),
        "long names in every label": Attack(changed_labels(long), code=0, codes={"recall png": LIMIT}),
        "a million steps": Attack(
            resized(network="convnet:width=1024,depth=3", steps=10**6, batch=10**5, side=32),
            "hours|MiB of memory",
            0,
            training,
        ),
        "a network of 644 million weights": Attack(
            resized(network="torchvision:regnet_y_128gf", steps=10**6), "hours|MiB of memory", 0, training
        ),
        "an mlp of large images": Attack(
            resized(network="mlp:width=4096,depth=10", channels=16, side=4096, scale=4096), "MiB of memory", 0, training
        ),
        "an unknown network": Attack(
            resized(network="lenet\x1b[31m"), "no network 'lenet", 0, {"retrain": 4, "eval": 4}
        ),
        "a network with an impossible setting": Attack(
            resized(network="convnet:depth=9"), "cannot be trained", 0, {"retrain": 4, "eval": 4}
        ),
        "a network with a setting that is not there": Attack(
            resized(network="mlp:__class__=x"), "cannot be trained", 0, {"retrain": 4, "eval": 4}
        ),
    }


def changed_labels(names: list[str]) -> Callable[[], bytes]:
    """Learned labels that give a weight to every one of many long names, for many rows."""

    def make() -> bytes:
        data = resized(names=names, bases=1, rows=40, side=8, scale=8)()
        header, manifest, payload = taken_apart(data)
        manifest["memory"]["labels"] = "class"
        at, size = len(payload), 4 * len(names) ** 2
        header["labels"] = {"dtype": "F32", "shape": [len(names)] * 2, "data_offsets": [at, at + size]}
        return put_together(header, manifest, payload + struct.pack("<f", 1.0) * (size // 4))

    return make


def _hidden() -> dict[str, Attack]:
    """Valid files whose names are meant for terminals, shells and file systems"""
    names = {
        "control characters": ["\x1b[2J\x1b[31m", "\x07\x08", "\r\nmemcli: error: no"],
        "text from right to left": ["\u202eevil", "\u2066a\u2069", "\u061cx"],
        "paths": ["../../x", "/etc/passwd", "C:\\x"],
        "devices": ["CON", "nul.txt", "."],
        "markup": ["[bold]x[/bold]", "<script>alert(1)</script>", "{{ 7*7 }}"],
        "settings and formats": ["`force`", "%s%n", "{0}"],
        "twins": ["\u00e9", "e\u0301", "\u00c9"],
        "nothing and space": ["", " ", "\u3000"],
        "the longest": ["a" * 1000, "b" * 1000, "𝄞" * 1000],
    }
    return {f"names: {name}": Attack(changed(put("data.classes", words)), code=0) for name, words in names.items()}


GROUPS: dict[str, Callable[[], dict[str, Attack]]] = {
    "bytes": _cut,
    "lengths": _lengths,
    "JSON": _json,
    "tensors": _tensors,
    "values": _values,
    "numbers": _numbers,
    "supports": supports,
    "checksums": _unsealed,
    "greed": _greedy,
    "names": _hidden,
}
ATTACKS = {f"{group}: {name}": attack for group, make in GROUPS.items() for name, attack in make().items()}
