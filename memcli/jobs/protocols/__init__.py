"""How networks are trained in an evaluation: one protocol a file, one line below."""

from memcli.jobs.protocols.base import Protocol
from memcli.registry import Registry

__all__ = ["PROTOCOLS", "Protocol"]

PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "memcli.protocols",
    {
        "own": "memcli.jobs.protocols.own:PROTOCOL",
        "rtp": "memcli.jobs.protocols.rtp:PROTOCOL",
        "idc": "memcli.jobs.protocols.idc:PROTOCOL",
    },
    "memcli.jobs.protocols.base:Protocol",
)
