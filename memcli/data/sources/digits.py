"""`digits`: the 8x8 handwritten digits that scikit-learn carries; no files and no network are needed."""

import torch

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Request, Source, SourceKind, fixed_fifth
from memcli.errors import UsageError
from memcli.text import printable


def open_digits(rest: str, _: Request) -> Source:
    """1,797 images of shape (1, 8, 8); the levels 0 to 16 are scaled to 0 to 255. A fixed fifth is the test split."""
    if rest:
        raise UsageError(f"digits takes no setting, not {printable(rest)!r}", do="Write digits")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)  # (1797, 8, 8)
    everything = LabelledImages(pixels.unsqueeze(1), torch.from_numpy(bunch.target).long())
    cut = fixed_fifth(everything.labels)
    classes = tuple(str(name) for name in bunch.target_names)
    return Source("digits", classes, (1, 8, 8), lambda split: everything.subset(cut[split]), cut=True)


SOURCE = SourceKind(open_digits, "1,797 handwritten digits, 8x8, built in")
