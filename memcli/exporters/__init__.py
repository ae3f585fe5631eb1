"""The formats that a recalled training set is written in: one file each, one line below."""

from memcli.exporters.base import Exporter
from memcli.exporters.npz import Npz
from memcli.exporters.png import Png
from memcli.exporters.safetensors import Safetensors

EXPORTERS: dict[str, Exporter] = {
    "png": Png(),
    "npz": Npz(),
    "safetensors": Safetensors(),
}
