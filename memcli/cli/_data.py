"""Opening the data set of --data, so that it fits a memory."""

from typing import TYPE_CHECKING

from memcli.data.spec import DataSpec
from memcli.progress import Progress

if TYPE_CHECKING:
    from memcli.data.sources import Source


def open_aligned(text: str, spec: DataSpec, download: bool, progress: Progress) -> "Source":
    """The source `text` in the shape, classes and normalisation of `spec`; what it guessed is noted."""
    from memcli.data.sources import aligned, open_source

    source = open_source(text, download=download, shape=spec.shape)
    for note in source.notes:
        progress.note(note)
    return aligned(source, spec)
