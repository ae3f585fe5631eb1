"""What recalling costs, by the sizes of a memory alone. No torch."""

from memcli.memory.spec import MemorySpec

CHUNK_BYTES = 2**30  # of images that are recalled at once, with all that this takes; one is recalled in any case
_COPIES = 4  # of an image that is recalled, at most at once
_READ = 20  # operations for a number of an address: it is copied, which is slow beside multiplying


def operations(spec: MemorySpec, *, mixed: bool) -> int:
    """Multiplications and additions, about, of recalling one image and its label; `mixed`: of several classes."""
    data, (channels, h, w) = spec.data, spec.base_shape
    found = _READ * _read(spec, mixed=mixed) + 2 * spec.bases * channels * h * w
    if spec.cells:
        return found + 2 * channels * spec.cells * data.height * data.width
    enlarging = 2 * channels * data.width * h * (w + data.height) if spec.scale > 1 else 0
    whitening = 8 * data.floats_per_image * data.channels if data.zca else 0
    return found + enlarging + whitening


def held_bytes(spec: MemorySpec, *, mixed: bool) -> int:
    """Bytes of memory for one image while it is recalled: what is read for it, label vectors, and copies."""
    of_image = _COPIES * (len(spec.data.classes) + spec.data.floats_per_image)
    return 4 * (_read(spec, mixed=mixed) + of_image)


def at_once(spec: MemorySpec, most: int, *, mixed: bool = False) -> int:
    """How many images are recalled at once: `most`, or as many as CHUNK_BYTES hold, and at least 1."""
    return max(1, min(most, CHUNK_BYTES // held_bytes(spec, mixed=mixed)))


def _read(spec: MemorySpec, *, mixed: bool) -> int:
    """The addresses that are read for one image, and the learned labels, where each image has its own.

    Sparse addresses are read with their support, two numbers each in memory, and spread out over all bases.
    """
    classes = len(spec.data.classes)
    addresses = (spec.bases + 3 * spec.support) * (classes if mixed else 1)
    return addresses + (classes**2 if spec.labels == "row" else 0)
