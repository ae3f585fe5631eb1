"""Bad memory files, through the commands: the documented exit code, one clear line, nothing left, little memory."""

import tracemalloc
from pathlib import Path

import pytest
from bad_memories import ATTACKS
from memory_attacks import COMMANDS, good, tried

SAMPLE = {name: attack for number, (name, attack) in enumerate(ATTACKS.items()) if attack.code and number % 9 == 0}
TAKEN = {name: attack for name, attack in ATTACKS.items() if not attack.code}
_MOST = 100_000_000  # bytes that Python and numpy take for a file of some kilobytes


@pytest.fixture(autouse=True)
def _a_machine_of_16_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine of the tests has free decides nothing: one of 64 GiB would train where another refuses to."""
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 16 << 30)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "bad.safetensors"


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 250
    assert len(TAKEN) >= 15


@pytest.mark.parametrize("name", ATTACKS)
def test_inspect(file: Path, name: str) -> None:
    data = ATTACKS[name].make()
    file.write_bytes(data)
    tracemalloc.start()
    tried("inspect", file, ATTACKS[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < _MOST + 4 * len(data)


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "inspect"])
def test_other_commands_refuse_what_inspect_refuses(file: Path, name: str, command: str) -> None:
    file.write_bytes(ATTACKS[name].make())
    tried(command, file, ATTACKS[name])


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_read_and_asks_for_too_much(file: Path, name: str) -> None:
    file.write_bytes(TAKEN[name].make())
    for command in TAKEN[name].codes:
        tried(command, file, TAKEN[name])


@pytest.mark.parametrize("name", [name for name in TAKEN if name.startswith("names: names")])
def test_names_harm_no_folder(file: Path, name: str) -> None:
    file.write_bytes(TAKEN[name].make())
    tried("recall png", file, TAKEN[name])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_that_they_are_made_from_is_good(file: Path, command: str) -> None:
    file.write_bytes(good())
    attack = next(iter(TAKEN.values()))
    tried(command, file, type(attack)(good, code=0))
