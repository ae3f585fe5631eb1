"""The card of a memory: what it is, how it is used, and what it is not, as the README.md of a repository. No torch.

The front matter is that of the Hugging Face Hub's model cards (huggingface.co/docs/hub/model-cards). Names of classes
and licences come from files that anyone may have written: in the text they are escaped, and the front matter is made of
JSON values, which YAML reads as they are.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from memcli.files.evalfigures import EvalFigures, read_figures
from memcli.files.inspection import Inspection, inspect
from memcli.files.manifest import Manifest
from memcli.text import printable

_SHOWN = 100  # class names, at most
_HUB_LICENCES = (  # the identifiers of huggingface.co/docs/hub/repositories-licenses that data may be under
    " apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 "
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl "
    "gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 "
    "ncsa unlicense zlib pddl "
)
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def card(
    path: str | Path,
    *,
    figures: str | Path | None = None,
    repository: str | None = None,
    expect_sha256: str | None = None,
) -> str:
    """The card of the memory file at `path`, as Markdown.

    `figures`: a file that `memcli eval FILE --json` was written to, whose accuracies the card then tells.
    `repository`: "USER/NAME", where the file can be pulled from. `expect_sha256`: the checksum that the file must have.
    Raises MemoryFileError and LimitError as `inspect` does, and DataError where the figures cannot be read or are those
    of another memory.
    """
    return card_of(inspect(path, expect_sha256=expect_sha256), Path(path), figures=figures, repository=repository)


def card_of(
    inspection: Inspection, path: Path, *, figures: str | Path | None = None, repository: str | None = None
) -> str:
    """The same of a file that was inspected."""
    measured = EvalFigures(()) if figures is None else read_figures(figures, inspection)
    lines = [
        *_front(inspection.manifest, repository or path.stem, measured),
        *_text(path.name, inspection, repository, measured),
    ]
    return "\n".join(lines) + "\n"


def markdown(text: str) -> str:
    """`text` as Markdown shows it: one line, with nothing in it that is markup, HTML or a link."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", printable(text))


def _front(manifest: Manifest, name: str, measured: EvalFigures) -> list[str]:
    """The front matter, a JSON value to a line."""
    data, provenance = manifest.spec.data, manifest.provenance
    keys: dict[str, Any] = {
        **_licence(provenance["licence"]),
        "library_name": "memcli",
        "pipeline_tag": "image-classification",
        "task_categories": ["image-classification"],
        "size_categories": [next((size for most, size in _SIZES if manifest.spec.recalled < most), "n>10M")],
        "tags": ["memcli", "dataset-distillation", "image-classification"],
    }
    if hub := re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(@.*)?", provenance["source"]):
        keys["datasets"] = [hub[1]]
    own = [row for row in measured.first if row.trained_on == "memory"]
    if own:
        results = [
            {
                "task": {"type": "image-classification"},
                "dataset": {"type": printable(provenance["source"]), "name": printable(data.name), "split": "test"},
                "metrics": [{"type": "accuracy", "value": row.mean, "name": f"{row.network} trained on the memory"}],
            }
            for row in own
        ]
        keys["model-index"] = [{"name": printable(name), "results": results}]
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in keys.items()), "---", ""]


def _licence(licence: str | None) -> dict[str, str]:
    """The keys of the data's licence: one that the Hub knows, or its name, or that it is not known."""
    if licence is None:
        return {"license": "unknown"}
    known = re.sub(r"[\s_]+", "-", licence.strip().lower())
    if f" {known} " in _HUB_LICENCES:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.")[:80]
    return {"license": "other", "license_name": name or "other"}


def _text(name: str, inspection: Inspection, repository: str | None, measured: EvalFigures) -> list[str]:
    manifest = inspection.manifest
    spec, data, provenance = manifest.spec, manifest.spec.data, manifest.provenance
    source, fingerprint = markdown(provenance["source"]), printable(provenance["fingerprint"])[:16]
    shape = " x ".join(map(str, data.shape[1:])) + (" pixels, colour" if data.channels == 3 else " pixels")
    licence = "not told" if provenance["licence"] is None else markdown(provenance["licence"])
    shown = ", ".join(markdown(each) for each in data.classes[:_SHOWN])
    more = f", and {len(data.classes) - _SHOWN} more" if len(data.classes) > _SHOWN else ""
    return [
        f"# {markdown(data.name)} as a memory",
        "",
        f"A *memory*: {inspection.file_bytes:,} bytes from which memcli recalls {spec.recalled:,} training images "
        f"({shape}) of {len(data.classes)} classes. It holds {spec.bases} base images, shared by all classes, and "
        "learned addresses that combine them ([Deng & Russakovsky, NeurIPS 2022](https://arxiv.org/abs/2206.02916)). "
        "It is data: a safetensors file without code.",
        "",
        "## Use it",
        "",
        "```sh",
        *_usage(name, repository),
        "```",
        "",
        "## What it holds",
        "",
        "| | |",
        "|---|---|",
        f"| learned from | {source}, fingerprint `{fingerprint}` |",
        f"| licence of that data | {licence} |",
        f"| classes | {shown}{more} |",
        f"| size | {spec.bytes:,} bytes as {spec.storage}, {spec.size()['floats']:,} numbers |",
        f"| {inspection.checksum} | `{inspection.sha256}` |",
        f"| made by | {markdown(', '.join(f'{key} {value}' for key, value in provenance['versions'].items()))} |",
        "",
        "## How good it is",
        "",
        *_accuracies(manifest, measured),
        "",
        "## What it is good for, and what it is not",
        "",
        "It is for training networks for these classes quickly and from little storage: to compare architectures, to "
        "start from, to rehearse old classes in continual learning, to ship a training set where the real one is too "
        "large. Networks that are trained on it are less accurate than those that are trained on all real images. The "
        "images are made for training: they are no photographs, and no evidence of what the real ones show. Classes "
        "that the data neglects, the memory neglects too.",
        "",
        "It makes no claim of privacy. What is recalled may resemble training images, and it may be found out whether "
        "an image was among them. Learning a memory does not make data anonymous, and does not change its licence.",
    ]


def _usage(name: str, repository: str | None) -> list[str]:
    file = printable(shlex.quote(name))
    if repository is None:
        first = ["pip install memcli"]
    else:
        first = ["pip install 'memcli[hf]'", f"memcli pull hf:{repository}/{file} -o {file}"]
    return [*first, f"memcli retrain {file} -o net.safetensors  # a network; `memcli recall` writes the images"]


def _accuracies(manifest: Manifest, measured: EvalFigures) -> list[str]:
    lines = []
    stored = manifest.results.get("validation")
    accuracy = stored.get("accuracy") if isinstance(stored, dict) else None
    if isinstance(accuracy, float) and 0 <= accuracy <= 1:
        lines.append(
            f"On images that were held out of the training part when it was learned: {100 * accuracy:.1f} %, by a "
            f"{markdown(manifest.retrain.network)} that was trained on the memory alone."
        )
    if measured.rows:
        by = ("protocol",) if measured.several else ()
        lines += ["", "On the test part:", "", *_row("trained on", "network", *by, "accuracy, %", "networks")]
        lines += ["|" + "---|" * (4 + len(by))]
        for row in measured.rows:
            named = (row.trained_on, row.network, row.protocol)[: 2 + len(by)]
            lines += _row(*map(markdown, named), f"{100 * row.mean:.1f} ± {100 * row.std:.1f}", str(row.n))
        if any(row.trained_on != "memory" for row in measured.rows):
            baselines = (
                "`random` as many as its numbers pay for, `bytes` as its bytes pay for at one a pixel, `full` all"
            )
            lines += ["", f"All but the memory are real images: {baselines}."]
    return lines or ["It was not measured."]


def _row(*cells: str) -> list[str]:
    """A line of a table."""
    return [f"| {' | '.join(cells)} |"]
