"""Every error tells what to do next and has an exit code of its own."""

import pytest

from memcli import errors
from memcli.errors import MemcliError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MemcliError)]


def test_exit_codes_are_those_of_the_contract() -> None:
    """Those of docs/cli.md: a script may rely on them."""
    assert {kind.__name__: kind.exit_code for kind in KINDS} == {
        "MemcliError": 1,
        "UsageError": 2,
        "DataError": 3,
        "MemoryFileError": 4,
        "LimitError": 5,
        "DivergedError": 6,
        "GateError": 7,
        "ExistsError": 8,
        "Interrupted": 75,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_two_sentences(kind: type[MemcliError]) -> None:
    error = kind("the disk is full.", do="Free some space")
    assert str(error) == "the disk is full. Free some space."
    assert (error.what, error.do) == ("the disk is full.", "Free some space")


def test_a_name_of_dots_stays_in_a_message() -> None:
    assert str(MemcliError("there is no folder ..", do="Create it")) == "there is no folder .. Create it."
    assert str(MemcliError("there is no class a, ..", do="Do b...")) == "there is no class a, .. Do b..."


@pytest.mark.parametrize("kind", KINDS)
def test_what_to_do_cannot_be_forgotten(kind: type[MemcliError]) -> None:
    with pytest.raises(TypeError, match="do"):
        kind("the disk is full")  # type: ignore[call-arg]
