"""A manifest from a file is either exactly what a memcli writes, or refused: whatever value stands wherever."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from memcli.errors import MemoryFileError, UsageError
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact


@pytest.fixture
def manifest(make: Callable[..., Artifact]) -> Manifest:
    return make().manifest


@pytest.fixture
def stored(manifest: Manifest) -> dict[str, Any]:
    """The manifest as it comes out of a file."""
    return json.loads(json.dumps(manifest.to_json()))


def test_round_trip(manifest: Manifest, stored: dict[str, Any]) -> None:
    assert Manifest.from_json(stored) == manifest


def test_unknown_top_level_keys_are_ignored(manifest: Manifest, stored: dict[str, Any]) -> None:
    assert Manifest.from_json({**stored, "note": [1, 2], "sha256": "x"}) == manifest


def test_a_whole_number_may_stand_for_a_float(manifest: Manifest, stored: dict[str, Any]) -> None:
    stored["retrain"]["momentum"] = 0
    read = Manifest.from_json(stored).retrain
    assert read == replace(manifest.retrain, momentum=0.0)
    assert type(read.momentum) is float


def test_what_has_a_default_may_be_missing(manifest: Manifest, stored: dict[str, Any]) -> None:
    del stored["retrain"]["momentum"]
    assert Manifest.from_json(stored) == manifest


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("kind", "network", "not a memory file, but one of kind 'network'"),
        ("kind", None, "not a memory file, but one of kind 'None'"),
        ("format", 4, r"written by a newer memcli \(format 4\)\. Upgrade memcli"),
        ("format", 0, "there is no format 0"),
        ("format", True, "format is not a whole number"),
        ("format", "1", "format is not a whole number"),
        ("format", 1.0, "format is not a whole number"),
        ("recipe", [], "recipe is not an object"),
        ("results", None, "results is not an object"),
        ("provenance", "x", "provenance is not an object"),
        ("seed", 1.5, "seed is not a whole number"),
        ("seed", 2**63, "seed is a number beyond 63 bits"),
        ("data", None, "data is not an object"),
        ("data.more", 1, "unknown keys in data: more"),
        ("memory.\x1b", 1, r"unknown keys in memory: \\x1b"),
        ("retrain.more", 1, r"unknown keys in retrain: more\. Upgrade memcli"),
        ("data.name", 3, "data.name is not a text"),
        ("data.classes", "ab", "data.classes is not a list"),
        ("data.classes", ["a", 1], "an item of data.classes is not a text"),
        ("data.mean", [True, 0.5], "an item of data.mean is not a number"),
        ("data.mean", [10**400, 0.5], "an item of data.mean is a number beyond 63 bits"),
        ("data.height", "4", "data.height is not a whole number"),
        ("data.height", True, "data.height is not a whole number"),
        ("memory.rows", 10**30, "memory.rows is a number beyond 63 bits"),
        ("memory.data", {}, "unknown keys in memory: data"),
        ("retrain.lr", "0.1", "retrain.lr is not a number"),
        ("data.height", 0, "the manifest is impossible: a data set with height 0"),
        ("data.classes", ["a", "a"], "the manifest is impossible: two classes have the same name"),
        ("data.zca", [1.0], "the manifest is impossible: zca has 1 numbers"),
        ("data.std", [0.0, 1.0], "the manifest is impossible: mean must be within"),
        ("memory.scale", 3, "the manifest is impossible: scale 3 does not divide"),
        ("memory.storage", "int2", "the manifest is impossible: unknown storage 'int2'"),
        ("memory.labels", "soft", "the manifest is impossible: unknown labels 'soft'"),
        ("memory.labels", None, "memory.labels is not a text"),
        ("retrain.steps", 0, "the manifest is impossible: steps is 0"),
        ("provenance.source", 3, "the manifest is impossible: the provenance is incomplete"),
        ("provenance.licence", 3, "the manifest is impossible: the provenance is incomplete"),
        ("provenance.versions", [], "the manifest is impossible: the provenance is incomplete"),
        ("provenance.versions.torch", 2, "the manifest is impossible: the provenance is incomplete"),
    ],
)
def test_refusals(stored: dict[str, Any], path: str, value: Any, match: str) -> None:
    *outer, last = path.split(".")
    place = stored
    for key in outer:
        place = place[key]
    place[last] = value
    with pytest.raises(MemoryFileError, match=match):
        Manifest.from_json(stored)


@pytest.mark.parametrize(
    ("part", "key", "match"),
    [
        ("data", "mean", "data lacks mean"),
        ("memory", "rows", "memory lacks rows"),
        ("provenance", "fingerprint", "the provenance is incomplete"),
        ("provenance", "licence", "the provenance is incomplete"),
    ],
)
def test_missing_keys(stored: dict[str, Any], part: str, key: str, match: str) -> None:
    del stored[part][key]
    with pytest.raises(MemoryFileError, match=match):
        Manifest.from_json(stored)


@pytest.mark.parametrize(
    "key", ["format", "kind", "data", "memory", "recipe", "seed", "retrain", "provenance", "results"]
)
def test_every_top_level_key_is_needed(stored: dict[str, Any], key: str) -> None:
    del stored[key]
    with pytest.raises(MemoryFileError):
        Manifest.from_json(stored)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


@pytest.mark.parametrize(
    "hostile", [None, True, -1, 0, 2**64, 1.5, 1e308, "", "16", "\x00", [], [[]], {}, {"a": {}}], ids=repr
)
def test_a_hostile_value_anywhere_is_read_or_refused(stored: dict[str, Any], hostile: Any) -> None:
    tried = 0
    for place, key in list(places(stored)):
        before, place[key] = place[key], hostile
        tried += 1
        try:
            Manifest.from_json(stored)
        except MemoryFileError:
            pass
        finally:
            place[key] = before
    assert tried > 40


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 2**63}, "the seed 9223372036854775808 cannot be stored"),
        ({"seed": True}, "the seed True cannot be stored"),
        ({"provenance": {}}, "the provenance is incomplete"),
        ({"results": {"accuracy": float("nan")}}, "cannot be stored as JSON"),
        ({"recipe": {"start": object()}}, "cannot be stored as JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_where_it_is_made(
    manifest: Manifest, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        replace(manifest, **change)
