"""Where the figures of a run are followed besides memcli's own folder: one file each, one line below."""

from memcli.registry import Registry
from memcli.trackers.base import TrackedRun, Tracker, Writer

__all__ = ["TRACKERS", "TrackedRun", "Tracker", "Writer"]

TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    "memcli.trackers",
    {
        "tensorboard": "memcli.trackers.tensorboard:TRACKER",
        "trackio": "memcli.trackers.trackio:TRACKER",
        "wandb": "memcli.trackers.wandb:TRACKER",
    },
    "memcli.trackers.base:Tracker",
)
