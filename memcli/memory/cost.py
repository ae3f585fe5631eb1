"""What recalling costs, by the sizes of a memory alone. No torch."""

import math

from memcli.memory.spec import MemorySpec

CHUNK_BYTES = 2**30  # of images that are recalled at once, with all that this takes; one is recalled in any case
_COPIES = 4  # of an image that is recalled, at most at once
_READ = 20  # operations for a number of an address: it is copied, which is slow beside multiplying


def operations(spec: MemorySpec) -> int:
    """Multiplications and additions, about, of recalling one image."""
    data, (channels, h, w) = spec.data, spec.base_shape
    found = _READ * len(data.classes) * spec.bases + 2 * spec.bases * channels * h * w
    if spec.cells:
        return found + 2 * channels * spec.cells * data.height * data.width
    enlarging = 2 * channels * data.width * h * (w + data.height) if spec.scale > 1 else 0
    whitening = 8 * data.floats_per_image * data.channels if data.zca else 0
    return found + enlarging + whitening


def held_bytes(spec: MemorySpec) -> int:
    """Bytes of memory for one image while it is recalled: the addresses that are mixed, label vectors, and copies."""
    classes = len(spec.data.classes)
    return 4 * (classes * (spec.bases + _COPIES) + _COPIES * spec.data.floats_per_image)


def at_once(spec: MemorySpec, most: int) -> int:
    """How many images are recalled at once: `most`, or as many as CHUNK_BYTES hold, and at least 1."""
    return max(1, min(most, math.floor(CHUNK_BYTES / held_bytes(spec))))
