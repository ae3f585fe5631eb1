"""The size of a memory, as it is asked for and as the images have it."""

import pytest

from memcli.jobs.plan import Size, prepared
from memcli.progress import Silent


class Notes(Silent):
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_bases_lie_on_cells_where_these_serve_better_and_it_is_told() -> None:
    progress = Notes()
    spec = prepared("digits", size=Size(ipc=1), progress=progress).spec
    assert (spec.cells, spec.scale) == (24, 1)
    assert [note for note in progress.notes if "cells" in note] == [
        "bases on 24 cells, groups of pixels that vary alike: they hold what a larger grid does"
    ]


def test_cells_count_within_a_budget_of_bytes() -> None:
    spec = prepared("digits", size=Size(budget="0.4ipc", storage="int8")).spec
    assert spec.cells == 24
    assert spec.bytes <= 1024


@pytest.mark.parametrize(
    "size",
    [
        Size(cells=0),
        Size(scale=2),
        Size(bases=10),
        Size(rows=2),
        Size(ipc=10),  # bases have the size of images
        Size(ipc=0.12),  # the map alone takes most of it
        Size(support=2, ipc=2),
    ],
)
def test_bases_lie_on_a_grid_where_that_is_asked_for_or_cells_bring_nothing(size: Size) -> None:
    progress = Notes()
    assert prepared("digits", size=size, progress=progress).spec.cells == 0
    assert not [note for note in progress.notes if "cells" in note]


@pytest.mark.parametrize(("images_of_each", "scale"), [(1, 1), (3.2, 2)])
def test_a_larger_budget_has_its_bases_on_a_grid_of_half_the_size(images_of_each: float, scale: int) -> None:
    spec = prepared("fake:shape=1x28x28,n=300", size=Size(ipc=images_of_each)).spec
    assert (spec.scale, bool(spec.cells)) == (scale, scale == 1)


def test_cells_that_are_asked_for_are_not_told_again() -> None:
    progress = Notes()
    assert prepared("digits", size=Size(cells=16), progress=progress).spec.cells == 16
    assert not [note for note in progress.notes if "cells" in note]


def test_whitened_images_and_a_start_from_noise_have_no_cells() -> None:
    assert prepared("digits", size=Size(), zca=True).spec.cells == 0
    assert prepared("digits", size=Size(), recipe="paper").spec.cells == 0
