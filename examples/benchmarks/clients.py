"""How well a network learns from each export of one memory, read by the libraries that people have.

    python examples/benchmarks/clients.py photos.safetensors photos --runs 5 2> each.txt

As formats.py does, for every format that `memcli recall` writes: by numpy, safetensors, Hugging Face datasets,
webdataset, torch, and torchvision's ImageFolder. It prints the same JSON object, and a table on stderr.
"""

import json
import statistics
import sys
from pathlib import Path

import torch
from formats import Formats, Images, measured, read_folder, read_npz


def read_safetensors(path: Path) -> Images:
    from safetensors.torch import load_file

    recalled = load_file(path)
    return recalled["images"], recalled["labels"]


def read_parquet(path: Path) -> Images:
    from datasets import load_dataset

    train = load_dataset("parquet", data_files=str(path), cache_dir=f"{path}.cache")["train"].with_format("torch")
    return train["pixels"][:], train["label"][:]


def read_shard(path: Path) -> Images:
    import webdataset

    shard = webdataset.WebDataset(str(path), shardshuffle=False).decode().to_tuple("npy", "cls")
    images, labels = zip(*shard, strict=True)
    return torch.stack([torch.from_numpy(image) for image in images]), torch.tensor(labels)


def read_pt(path: Path) -> Images:
    recalled = torch.load(path, weights_only=True)
    return recalled["images"], recalled["labels"]


CLIENTS: Formats = {
    "recalled.npz": ({}, read_npz),
    "recalled.safetensors": ({}, read_safetensors),
    "recalled.parquet": ({}, read_parquet),
    "recalled.tar": ({}, read_shard),
    "recalled.pt": ({}, read_pt),
    "range/": ({"encode": "range"}, read_folder),
    "clip/": ({"encode": "clip"}, read_folder),
}


def table(found: dict[str, dict]) -> str:
    """A line for each format: the mean and the standard deviation of its accuracies in per cent, and its bytes."""
    lines = ["| export | accuracy | bytes |", "|---|---|---|"]
    for name, told in found.items():
        shares = [100 * share for share in told["accuracies"]]
        spread = f" ± {statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
        lines.append(f"| {name} | {statistics.mean(shares):.2f}{spread} | {told['bytes']:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    result = measured(None, CLIENTS)
    print(table(result), file=sys.stderr)
    print(json.dumps(result))
