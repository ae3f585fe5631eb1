"""Registries: the members of a kind by name, such as sources, networks or objectives. No torch.

A member is one file of the package and one line of its kind's registry, or an entry point of an installed package: an
entry point of the group `memcli.networks` named `tiny` is the network `tiny`. A member is imported when it is first
used, so that a registry costs nothing, and a broken plug-in matters only to those who name it.
"""

import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from memcli.errors import MemcliWarning, UsageError
from memcli.text import printable

T = TypeVar("T")


class PluginWarning(MemcliWarning):
    """A plug-in is left out because it is broken."""


class Registry(Mapping[str, T], Generic[T]):
    """The members of one kind by name, as a read-only mapping: memcli's own in their order, then plug-ins by name, then
    added ones.

    `noun` is the word for a member ("network"), `group` the group of the entry points ("memcli.networks"), `own` has
    the place of each of memcli's members, as "module:attribute", and `contract` is the class of all members.
    A plug-in does not replace a member of memcli's own.
    """

    def __init__(self, noun: str, group: str, own: Mapping[str, str], contract: str) -> None:
        self.noun, self.group = noun, group
        self._own, self._contract = dict(own), contract
        self._loaded: dict[str, T] = {}
        self._added: dict[str, T] = {}

    @cached_property
    def plugins(self) -> dict[str, EntryPoint]:
        """The entry points of the group by name, sorted."""
        points = sorted(entry_points(group=self.group), key=lambda point: point.name)
        return {point.name: point for point in points if point.name not in self._own}

    def __getitem__(self, name: str) -> T:
        """The member of that name. KeyError where there is none, UsageError where its plug-in is broken."""
        if name in self._added:
            return self._added[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._own, *self.plugins, *self._added))

    def __len__(self) -> int:
        return len(self._own) + len(self.plugins) + len(self._added)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self.plugins or name in self._added

    def add(self, name: str, member: T) -> None:
        """Add a member for this process alone, such as a network of a notebook.

        Raises UsageError where the name is taken, or the member is not an instance of the contract.
        """
        if name in self:
            raise UsageError(f"there is a {self.noun} {printable(name)!r} already", do="Choose another name")
        self._require(
            member, f"the {self.noun} {printable(name)!r}", "Give an instance; docs/extending.md has an example"
        )
        self._added[name] = member

    def find(self, name: str) -> T:
        """The member of that name; UsageError, with all names, where there is none."""
        if name in self:
            return self[name]
        raise UsageError(f"there is no {self.noun} {printable(name)!r}", do=f"Choose from {', '.join(self)}")

    def working(self) -> dict[str, T]:
        """All members that can be imported; a warning names each plug-in that cannot."""
        members = {}
        for name in self:
            try:
                members[name] = self[name]
            except UsageError as error:
                warnings.warn(str(error), PluginWarning, stacklevel=2)
        return members

    def _load(self, name: str) -> T:
        if name in self._own:
            own: T = _attribute(self._own[name])
            return own
        point = self.plugins[name]
        plugin = f"the plug-in {printable(point.value)!r} of the {self.noun} {printable(name)!r}"
        try:
            member: Any = point.load()
        except Exception as error:  # a module of others may raise anything
            reason = printable(f"{type(error).__name__}: {error}")
            raise UsageError(f"{plugin} cannot be imported: {reason}", do="Repair or uninstall it") from error
        self._require(member, plugin, "Let its entry point name an instance; docs/extending.md has an example")
        result: T = member
        return result

    def _require(self, member: object, what: str, do: str) -> None:
        contract = _attribute(self._contract)
        if not isinstance(member, contract):
            raise UsageError(f"{what} is a {type(member).__name__}, and no {contract.__name__}", do=do)


def _attribute(where: str) -> Any:
    """The object at "module:attribute"."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
