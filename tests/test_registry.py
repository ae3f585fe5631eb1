"""Members are found by name, memcli's own first; a plug-in is imported when it is asked for, and may be broken."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from memcli import registry
from memcli.errors import UsageError
from memcli.registry import PluginWarning, Registry

OWN = {"joining": "os.path:join", "home": "pathlib:Path"}


def kinds(monkeypatch: pytest.MonkeyPatch, **plugins: str) -> Registry[object]:
    """A registry of callables, with entry points of its group."""
    points = [EntryPoint(name, where, "memcli.callables") for name, where in plugins.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "memcli.callables" else [])
    return Registry("callable", "memcli.callables", OWN, "collections.abc:Callable")


def test_own_members_come_first_and_plug_ins_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kinds(monkeypatch, zip="builtins:zip", abs="builtins:abs")
    assert list(found) == ["joining", "home", "abs", "zip"]
    assert len(found) == 4
    assert found["home"] is Path
    assert found["abs"] is abs
    assert found["abs"] is found["abs"]


def test_a_plug_in_replaces_no_member(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kinds(monkeypatch, home="builtins:abs")
    assert list(found) == ["joining", "home"]
    assert found["home"] is Path


def test_an_unknown_name_is_answered_with_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kinds(monkeypatch, abs="builtins:abs")
    with pytest.raises(UsageError, match=r"there is no callable 'x'\. Choose from joining, home, abs\."):
        found.find("x")
    assert "x" not in found
    assert found.get("x") is None
    assert found.find("abs") is abs


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (
            "nowhere.at.all:x",
            r"cannot be imported: ModuleNotFoundError: .*\. Repair or uninstall it",
        ),
        ("builtins:nothing", r"cannot be imported: AttributeError: .*\. Repair or uninstall it"),
        ("sys:version", r"is a str, and no Callable\. Let its entry point name an instance"),
    ],
)
def test_a_broken_plug_in_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch, where: str, told: str) -> None:
    found = kinds(monkeypatch, broken=where, abs="builtins:abs")
    assert "broken" in found
    with pytest.raises(UsageError, match=f"the plug-in '{where}' of the callable 'broken' {told}"):
        found["broken"]
    with pytest.warns(PluginWarning, match="the plug-in .* of the callable 'broken'"):
        working = found.working()
    assert list(working) == ["joining", "home", "abs"]


def test_a_member_is_added_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kinds(monkeypatch, abs="builtins:abs")
    found.add("length", len)
    assert (list(found), len(found)) == (["joining", "home", "abs", "length"], 4)
    assert found.find("length") is len
    with pytest.raises(UsageError, match=r"there is a callable 'length' already\. Choose another name"):
        found.add("length", max)
    with pytest.raises(UsageError, match=r"the callable 'text' is a str, and no Callable\. Give an instance"):
        found.add("text", "no function")
