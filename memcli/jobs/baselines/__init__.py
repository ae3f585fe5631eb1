"""What a memory is compared with: networks trained on real images. One baseline a file, one line below."""

from memcli.jobs.baselines.base import Baseline
from memcli.registry import Registry

__all__ = ["BASELINES", "Baseline"]

BASELINES: Registry[Baseline] = Registry(
    "baseline",
    "memcli.baselines",
    {
        "random": "memcli.jobs.baselines.random:BASELINE",
        "bytes": "memcli.jobs.baselines.bytes:BASELINE",
        "full": "memcli.jobs.baselines.full:BASELINE",
    },
    "memcli.jobs.baselines.base:Baseline",
)
