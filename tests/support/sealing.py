"""Memory files taken apart and put together again, with the checksums that docs/format.md tells of, by other code."""

import hashlib
import json
from typing import Any

Json = dict[str, Any]


def taken_apart(data: bytes) -> tuple[Json, Json, bytes]:
    """Header without metadata, manifest, payload."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header.pop("__metadata__")["memcli"])
    return header, manifest, data[8 + length :]


def put_together(header: Json, manifest: Json, payload: bytes, *, seal: bool = True) -> bytes:
    """The file; with `seal`, with the checksums that its format wants, and of format 1 a seal only where it has one."""
    if seal and manifest.get("format") == 1:
        manifest["sha256"] = _digest(b"", header, payload)
        if manifest.pop("manifest_sha256", None):
            manifest["manifest_sha256"] = hashlib.sha256(_text(manifest).encode()).hexdigest()
    elif seal:
        manifest.pop("sha256", None)
        manifest["sha256"] = _digest(_text(manifest).encode() + b"\n", header, payload)  # the last key
    raw = json.dumps({"__metadata__": {"memcli": _text(manifest, sort=False)}, **header}).encode()
    return len(raw).to_bytes(8, "little") + raw + payload


def _text(manifest: Json, *, sort: bool = True) -> str:
    """As it is stored; keys are put in order where they are not yet."""
    if sort:
        ordered = json.loads(json.dumps(manifest, sort_keys=True))
        manifest.clear()
        manifest.update(ordered)
    return json.dumps(manifest, separators=(",", ":"), ensure_ascii=False)


def _digest(start: bytes, header: Json, payload: bytes) -> str:
    digest = hashlib.sha256(start)
    for name in sorted(header):
        line = json.dumps(
            [name, header[name]["dtype"], header[name]["shape"]], separators=(",", ":"), ensure_ascii=False
        )
        begin, end = header[name]["data_offsets"]
        digest.update(line.encode() + b"\n" + payload[begin:end])
    return digest.hexdigest()
