"""memcli: compress a labelled image data set into addressable memories, and train networks from them.

    memory = memcli.load("shoes.safetensors")
    images, labels = memory.recall("cat")
    memcli.distill("./photos", "photos.safetensors", ipc=1, time_budget="5m")

docs/api.md has them all. A name is imported when it is first used, so that `import memcli` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "load": "memcli.jobs.opening",
    "open_source": "memcli.data.sources",
    "distill": "memcli.jobs.distill",
    "estimate": "memcli.jobs.distill",
    "recall": "memcli.jobs.recall",
    "preview": "memcli.jobs.preview",
    "retrain": "memcli.jobs.retrain",
    "evaluate": "memcli.jobs.evaluate",
    "predict": "memcli.jobs.predict",
    "export": "memcli.jobs.export",
    "report": "memcli.reports.page",
    "inspect": "memcli.files.inspection",
    "verify": "memcli.jobs.verify",
    "sign": "memcli.files.signing",
    "card": "memcli.files.card",
    "push": "memcli.jobs.hub",
    "pull": "memcli.jobs.hub",
    "load_network": "memcli.files.weights",
    "Artifact": "memcli.files.memoryfile",
    "Callback": "memcli.progress",
    "Limits": "memcli.files.limits",
    "TRUSTED": "memcli.files.limits",
    "MemcliError": "memcli.errors",
}
__all__ = [
    "TRUSTED",
    "Artifact",
    "Callback",
    "Limits",
    "MemcliError",
    "__version__",
    "card",
    "distill",
    "estimate",
    "evaluate",
    "export",
    "inspect",
    "load",
    "load_network",
    "open_source",
    "predict",
    "preview",
    "pull",
    "push",
    "recall",
    "report",
    "retrain",
    "sign",
    "verify",
]

if TYPE_CHECKING:
    from memcli.data.sources import open_source
    from memcli.errors import MemcliError
    from memcli.files.card import card
    from memcli.files.inspection import inspect
    from memcli.files.limits import TRUSTED, Limits
    from memcli.files.memoryfile import Artifact
    from memcli.files.signing import sign
    from memcli.files.weights import load_network
    from memcli.jobs.distill import distill, estimate
    from memcli.jobs.evaluate import evaluate
    from memcli.jobs.export import export
    from memcli.jobs.hub import pull, push
    from memcli.jobs.opening import load
    from memcli.jobs.predict import predict
    from memcli.jobs.preview import preview
    from memcli.jobs.recall import recall
    from memcli.jobs.retrain import retrain
    from memcli.jobs.verify import verify
    from memcli.progress import Callback
    from memcli.reports.page import report


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'memcli' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
