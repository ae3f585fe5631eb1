"""The manifest of a memory file: specs, recipes, provenance and results. No torch.

The manifest of a file is untrusted: the type of every value is checked (neither `true` nor `"16"` is a number).
"""

import platform
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, TypeVar, get_args, get_origin

from memcli import __version__
from memcli.data.spec import DataSpec
from memcli.errors import MemoryFileError, UsageError
from memcli.files.headers import canonical, damaged
from memcli.files.identity import FORMAT, NEWEST, format_of
from memcli.files.plain import require_few
from memcli.memory.spec import MemorySpec
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

KIND = "memory"
T = TypeVar("T", DataSpec, MemorySpec, TrainRecipe)
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "an object"}


@dataclass(frozen=True)
class Manifest:
    """All that a memory file holds besides its tensors, in numbers, texts and objects that JSON can store.

    `provenance` holds at least `source` and `fingerprint` (texts), `licence` (a text, or None where it is not known)
    and `versions` (texts by name). `recipe` and `results` may hold anything: the stages, and what was measured.
    """

    spec: MemorySpec
    recipe: dict[str, Any]
    seed: int
    retrain: TrainRecipe
    provenance: dict[str, Any]
    results: dict[str, Any]

    def __post_init__(self) -> None:
        if type(self.seed) is not int or abs(self.seed) >= 2**63:
            raise UsageError(f"the seed {printable(str(self.seed))} cannot be stored", do="Give one within 63 bits")
        known = all(isinstance(self.provenance.get(key), str) for key in ("source", "fingerprint"))
        versions = self.provenance.get("versions")
        if not (
            known
            and isinstance(self.provenance.get("licence", 0), str | None)
            and isinstance(versions, dict)
            and all(isinstance(version, str) for version in versions.values())
        ):
            raise UsageError(
                "the provenance is incomplete", do="Give source, fingerprint, licence and versions, all of them texts"
            )
        require_few({"recipe": self.recipe, "provenance": self.provenance, "results": self.results})
        canonical(self.to_json())

    @property
    def format(self) -> int:
        """The number of the format that it is stored in: the least that can hold its memory."""
        return NEWEST if self.spec.support else FORMAT

    def to_json(self) -> dict[str, Any]:
        """The manifest as it is stored, without its checksum."""
        return {
            "format": self.format,
            "kind": KIND,
            "data": self.spec.data.to_json(),
            "memory": self.spec.to_json(),
            "recipe": self.recipe,
            "seed": self.seed,
            "retrain": self.retrain.to_json(),
            "provenance": self.provenance,
            "results": self.results,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The manifest in `data`; unknown keys are ignored at the top level, and refused inside.

        Raises MemoryFileError where it is of another kind, of a newer format, or not as docs/format.md says.
        """
        if data.get("kind") != KIND:
            raise damaged(f"this is not a memory file, but one of kind {printable(str(data.get('kind')))!r}")
        _value(data.get("format"), int, "format")
        format_of(data)
        plain = {key: _value(data.get(key), dict, key) for key in ("recipe", "provenance", "results")}
        try:
            spec = _build(MemorySpec, data.get("memory"), "memory", data=_build(DataSpec, data.get("data"), "data"))
            retrain = _build(TrainRecipe, data.get("retrain"), "retrain")
            found = cls(spec, seed=_value(data.get("seed"), int, "seed"), retrain=retrain, **plain)
        except UsageError as error:  # a value of the right type that no spec accepts
            raise damaged(f"the manifest is impossible: {error.what}") from error
        if max(format_of(data), FORMAT) != found.format:
            raise damaged(f"it is of format {format_of(data)}, where a memory like this is of format {found.format}")
        return found


def provenance(source: str, fingerprint: str, licence: str | None, **libraries: str) -> dict[str, Any]:
    """A `Manifest.provenance`; `libraries` are versions by name, besides memcli's and Python's."""
    versions = {"memcli": __version__, "python": platform.python_version(), **libraries}
    return {"source": source, "fingerprint": fingerprint, "licence": licence, "versions": versions}


def data_spec(stored: Any) -> DataSpec:
    """The description of a data set in the manifest of any file. MemoryFileError where it is damaged."""
    try:
        return _build(DataSpec, stored, "data")
    except UsageError as error:
        raise damaged(f"its data set is impossible: {error.what}") from error


def memory_spec(stored: Any, data: DataSpec) -> MemorySpec:
    """The same of a memory of `data`."""
    try:
        return _build(MemorySpec, stored, "memory", data=data)
    except UsageError as error:
        raise damaged(f"its memory is impossible: {error.what}") from error


def train_recipe(stored: Any) -> TrainRecipe:
    """The same of how a network was trained."""
    try:
        return _build(TrainRecipe, stored, "retrain")
    except UsageError as error:
        raise damaged(f"its training is impossible: {error.what}") from error


def _build(cls: type[T], stored: Any, where: str, **given: Any) -> T:
    """The dataclass `cls` from an object that holds its other fields; those with a default may be missing."""
    _value(stored, dict, where)
    known = {field.name: field for field in fields(cls) if field.name not in given}
    if set(stored) - set(known):
        raise MemoryFileError(
            f"unknown keys in {where}: {printable(', '.join(sorted(set(stored) - set(known))))}", do="Upgrade memcli"
        )
    missing = [name for name, field in known.items() if name not in stored and field.default is MISSING]
    if missing:
        raise damaged(f"{where} lacks {', '.join(missing)}")
    return cls(**{name: _value(value, known[name].type, f"{where}.{name}") for name, value in stored.items()}, **given)


def _value(value: Any, wanted: Any, where: str) -> Any:
    """`value` if it is of the type `wanted`: int, float, str, bool, dict, or tuple[...] for a list of one of them."""
    if get_origin(wanted) is tuple:
        if not isinstance(value, list):
            raise damaged(f"{where} is not a list")
        return tuple(_value(item, get_args(wanted)[0], f"an item of {where}") for item in value)
    if type(value) is int and abs(value) >= 2**63:
        raise damaged(f"{where} is a number beyond 63 bits")
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise damaged(f"{where} is not {_NAMES[wanted]}")
    return value
