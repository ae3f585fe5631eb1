"""From labelled parts, as a kind of source finds them, to a Source: one rule for which part is tested on.

The test split is the part "test" where it has labels, else "val", else a fixed fifth of train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources._decoding import Part, Split, decoded
from memcli.data.sources._images import Damage
from memcli.data.sources._labels import UNLABELLED, Label, numbered
from memcli.data.sources._sizes import choose_sizes
from memcli.data.sources.base import Request, Source, fixed_fifth, listed
from memcli.errors import DataError


@dataclass(frozen=True)
class Assembly:
    """What is tested and trained on: for each split of the source, its part, and which of the part's images."""

    classes: tuple[str, ...]
    labels: dict[str, Tensor]  # of each part, (N,) int64
    chosen: dict[str, tuple[str, Tensor]]  # by "train" and "test": the part, and (N,) bool
    cut: bool
    notes: tuple[str, ...]


def arranged(labels: Mapping[str, Sequence[Label]], names: tuple[str, ...] | None = None) -> Assembly:
    """Which part is trained on and which is tested on, from the labels of the parts "train", "val" and "test".

    Images without a label are left out with a note. Raises DataError where labels cannot be used.
    """
    ordered = {part: labels[part] for part in ("train", "val", "test") if len(labels.get(part, ()))}
    if not ordered:
        raise DataError("there are no images", do="Check what the source holds")
    classes, numbers = numbered(ordered, names)
    known = {part: assigned != UNLABELLED for part, assigned in numbers.items()}
    usable = [part for part in numbers if known[part].any()]
    notes = [
        f"{int((~mask).sum()):,} of the {len(mask):,} {part} images have no label and are left out"
        for part, mask in known.items()
        if not mask.all() and not (part == "val" and "test" in usable)
    ]
    if "train" in numbers and "train" not in usable:
        raise DataError("the train images have no labels", do="Add labels, or choose a source that has them")
    chosen = {"train": ("train", known["train"])} if "train" in usable else {}
    cut = False
    if tested := next((part for part in ("test", "val") if part in usable), None):
        chosen["test"] = (tested, known[tested])
        if tested == "val":
            notes.append("the val images are the test split")
        elif "val" in numbers:
            notes.append("the val images are not read: what validates is cut from train")
    else:
        cut = True
        chosen = _cut(numbers["train"], known["train"])
        notes.append("there is no test split: a fixed fifth of the images is the test split")
    if "train" not in chosen:
        notes.append("there are no train images: this source can be tested on, and not learned from")
    elif absent := _absent(numbers, chosen, classes):
        notes.append(f"there is no test image of {listed(absent)}")
    return Assembly(classes, numbers, chosen, cut, tuple(notes))


def _cut(numbers: Tensor, known: Tensor) -> dict[str, tuple[str, Tensor]]:
    """Train and test of a source that has one part alone."""
    places = torch.nonzero(known).flatten()
    chosen = {}
    for split, indices in fixed_fifth(numbers[known]).items():
        mask = torch.zeros(len(numbers), dtype=torch.bool)
        mask[places[indices]] = True
        chosen[split] = ("train", mask)
    return chosen


def _absent(
    numbers: Mapping[str, Tensor], chosen: Mapping[str, tuple[str, Tensor]], classes: Sequence[str]
) -> list[str]:
    """Classes that train has and a test split of its own lacks."""
    part, mask = chosen["test"]
    if part == "train":
        return []  # a class of one image stays in train
    counts = torch.bincount(numbers[part][mask], minlength=len(classes))
    return [classes[label] for label in torch.nonzero(counts == 0).flatten().tolist()]


def of_pictures(
    name: str,
    parts: Mapping[str, Part],
    request: Request,
    *,
    names: tuple[str, ...] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """The source that encoded images make, with the classes `names` where they are known."""
    plan = arranged({split: part.labels for split, part in parts.items()}, names)
    parts = {split: replace(part, labels=()) for split, part in parts.items()}  # there are numbers in their place
    damage = Damage(request.skip_damaged)
    first, wanted = plan.chosen.get("train", plan.chosen["test"])
    sizes = choose_sizes(parts[first].pictures(wanted), request, damage)

    def read(split: str) -> LabelledImages:
        part, mask = plan.chosen[split]
        of_split = Split(name, split, parts[part], mask)
        return decoded(of_split, sizes.shape, plan.labels[part][mask], request, damage)

    def load(split: str) -> LabelledImages:
        images = read(split)
        if damage.too_much:
            for other in plan.chosen.keys() - {split}:
                read(other)  # so that all damaged images are told at once
            raise damage.error()
        return images

    return Source(
        name,
        plan.classes,
        sizes.shape,
        load,
        (*notes, *plan.notes, *sizes.notes),
        fit=request.fit,
        splits=tuple(plan.chosen),
        cut=plan.cut,
        sizes=sizes.summary,
        left_out=damage.names,
    )
