"""Queries as text."""

import re
from dataclasses import replace

import pytest
import torch
from memories import artifact

from memcli.errors import MemoryFileError, UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.query import mixed, parse_query, pixels
from memcli.memory.spec import LABELS, MemorySpec
from memcli.seeds import generator

HARD = (  # names of classes as data sets have them
    *("n01440764 tench, Tinca tinca", "cup/mug", "..", "a..b", "a:0.5,b:0.5", "N/A ", 'the "best"', '"', "", "été 猫"),
    *("a", "b", "Cat", "cat", "b:2", " ", "a,", "...", "5"),
)


def spec(*classes: str) -> MemorySpec:
    return artifact(classes or ("cat", "dog", "ship")).spec


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dog", [0, 1, 0]),
        ("cat:0.7,dog:0.3", [0.7, 0.3, 0]),
        (" cat : 2 , ship : -1e-1 ", [2, 0, -0.1]),
        ("cat:0,ship:1", [0, 0, 1]),
        ("cat,dog", [1, 1, 0]),
    ],
)
def test_a_query_becomes_a_label_vector(text: str, wanted: list[float]) -> None:
    assert torch.equal(parse_query(text, spec()), torch.tensor([wanted], dtype=torch.float32))


def test_class_names_may_hold_the_signs_of_queries() -> None:
    odd = spec("cat", "cat:1", "a,b", "x:y")
    assert parse_query("cat:1", odd).tolist() == [[0, 1, 0, 0]]
    assert parse_query("a,b", odd).tolist() == [[0, 0, 1, 0]]
    assert parse_query("x:y:0.5,cat:0.5", odd).tolist() == [[0.5, 0, 0, 0.5]]
    assert parse_query("x:y,cat", odd).tolist() == [[1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("catt", "there is no class 'catt'. Ask for one of 'cat' or another."),
        ("cat:0.5,zebra:0.5", "there is no class 'zebra'. Ask for one of 'cat', 'dog', 'ship'."),
        ("\x1b[31m", r"there is no class '\\x1b[31m'"),
        ("", "there is no class ''"),
        ("cat:1,cat:2", "class 'cat' is named twice"),
        ("cat:x", "'x' in 'cat:x' is not a weight. Write CLASS, or CLASS:WEIGHT"),
        ("cat:nan", "'nan' in 'cat:nan' is not a weight"),
        ("cat:inf,dog:1", "'inf' in 'cat:inf,dog:1' is not a weight"),
        ("cat:1e39", "'1e39' in 'cat:1e39' is not a weight. Write CLASS, or CLASS:WEIGHT,CLASS:WEIGHT with weights of"),
        ("cat:-2e6", "with weights of at most 1e+06."),
        ("cat..catt", "there is no class 'catt'. Ask for one of 'cat' or another."),
        ("dig..cat:3", "there is no class 'dig'. Ask for one of 'dog' or another."),
        ("cat..dog:1", "the number of steps in 'cat..dog:1' is '1'. Give a whole number from 2 to 1000."),
        ("cat..dog:many", "the number of steps in 'cat..dog:many' is 'many'."),
        ("cat..dog:1001", "Give a whole number from 2 to 1000."),
        ("cat:0.5..dog", "'0.5..dog' in 'cat:0.5..dog' is not a weight"),
        ("cat..dog,ship", "there is no class 'cat..dog'"),
        ('"cat', "there is no class '\"cat'"),
        ('"cat"x:1', "there is no class '\"cat\"x'"),
        ("cat,", "there is no class ''"),
    ],
)
def test_a_wrong_query_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_query(text, spec())


@pytest.mark.parametrize(("text", "steps"), [("cat..ship:5", 5), (" cat .. ship : 3 ", 3), ("cat..ship", 8)])
def test_an_interpolation_goes_from_one_class_to_the_other_in_even_steps(text: str, steps: int) -> None:
    found = parse_query(text, spec())
    assert found.shape == (steps, 3)
    assert torch.allclose(found[:, 2], torch.arange(steps) / (steps - 1))
    assert torch.allclose(found.sum(1), torch.ones(steps))
    assert (found[0].tolist(), found[-1].tolist()) == ([1, 0, 0], [0, 0, 1])


@pytest.mark.parametrize("name", HARD)
def test_every_name_can_be_asked_for_alone_in_a_mixture_and_at_both_ends(name: str) -> None:
    hard, number = spec(*HARD), HARD.index(name)
    wanted = torch.eye(len(HARD))
    assert torch.equal(parse_query(name, hard), wanted[[number]])
    other, marks = HARD.index("Cat"), ['"{}"'.format(each.replace('"', '""')) for each in HARD]
    if number != other:
        mixture = parse_query(f"Cat:0.25,{marks[number]}:0.5", hard)
        assert torch.equal(mixture, (0.25 * wanted[other] + 0.5 * wanted[number]).unsqueeze(0))
        for ends in ((number, other), (other, number)):
            text = f"{marks[ends[0]]}..{marks[ends[1]]}:2"
            assert torch.equal(parse_query(text, hard), wanted[list(ends)])


def test_an_error_shows_a_name_as_it_can_be_typed() -> None:
    with pytest.raises(UsageError, match=re.escape("""Ask for one of '"big, red"' or another.""")):
        parse_query("big, ret", spec("big, red", "x"))


def test_a_name_may_look_like_an_interpolation() -> None:
    odd = spec("a", "b", "a..b", "a..b:2")
    assert parse_query("a..b", odd).tolist() == [[0, 0, 1, 0]]
    assert parse_query("a..b:2", odd).tolist() == [[0, 0, 0, 1]]
    assert parse_query("a..b:0.5", odd).tolist() == [[0, 0, 0.5, 0]]
    assert parse_query("a..a..b:3", odd).tolist() == [[1, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 1, 0]]


def test_numbers_that_are_too_large_together_are_refused() -> None:
    memory = artifact().memory
    memory.bases.fill_(1e30)
    memory.addresses.fill_(1e30)
    with pytest.raises(MemoryFileError, match=r"recalls numbers that are not finite\. Get the file again, or make it"):
        pixels(memory, Query.everything(memory.spec))


def test_a_class_is_recalled_bit_for_bit_as_its_query() -> None:
    memory = artifact().memory
    query = Query.everything(memory.spec)
    classes = query.labels.argmax(1)
    assert torch.equal(memory.recall_classes(query.rows, classes), memory.recall(query))
    for labels in LABELS:
        spec = replace(memory.spec, labels=labels)
        learned = None if labels == "fixed" else torch.randn(spec.shapes["labels"], generator=generator(0, labels))
        of = Memory(spec, memory.bases, memory.addresses, learned)
        assert torch.equal(of.class_targets(query.rows, classes), of.targets(query))
    assert not mixed(query.labels)
    assert mixed(torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]))
    assert mixed(torch.tensor([[0.0, 2.0, 0.0]]))
