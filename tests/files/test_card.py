"""A card tells what the file tells, and nothing that it holds is read as markup or as YAML."""

import json
from pathlib import Path

import pytest
import yaml
from tiny import write_memory

from memcli.errors import DataError
from memcli.files.card import card, markdown

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "memory-v2-float32-fixed.safetensors"
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "digits-1"


def front(text: str) -> dict[str, object]:
    """The front matter, as YAML."""
    head, _, _ = text.removeprefix("---\n").partition("\n---\n")
    found = yaml.safe_load(head)
    assert isinstance(found, dict)
    return found


def test_a_card_of_a_memory_that_was_measured() -> None:
    text = card(RESULTS / "memory.safetensors", figures=RESULTS / "eval.json", repository="ada/digits")
    told = front(text)
    assert told["license"] == "unknown"
    assert told["library_name"] == "memcli"
    assert told["tags"] == ["memcli", "dataset-distillation", "image-classification"]
    assert told["size_categories"] == ["n<1K"]
    assert told["task_categories"] == ["image-classification"]
    accuracy = json.loads((RESULTS / "eval.json").read_text())["results"][0]["accuracy"]["mean"]
    (index,) = told["model-index"]  # type: ignore[misc]
    assert index["results"][0]["metrics"][0]["value"] == accuracy
    assert "memcli pull hf:ada/digits/memory.safetensors -o memory.safetensors\n" in text
    assert r"| memory | convnet\:width\=128 | 94.3 ± 0.6 | 3 |" in text
    assert r"| random | convnet\:width\=128 | 64.8 ± 3.6 | 3 |" in text
    assert "\n\nAll but the memory are real images: " in text
    assert "no claim of privacy" in text
    assert "2,000 bytes as float32" in text


def test_a_card_says_by_which_protocol_where_there_are_several(tmp_path: Path) -> None:
    told = json.loads((RESULTS / "eval.json").read_text())
    (row,) = told["results"]
    other = {**row, "protocol": "idc", "accuracy": {"mean": 0.96, "std": 0.0, "n": 1}}
    told["results"] = [{**row, "protocol": "own"}, other]
    told["baselines"]["random"][0]["protocol"] = "idc"
    figures = tmp_path / "eval.json"
    figures.write_text(json.dumps(told))
    text = card(RESULTS / "memory.safetensors", figures=figures)
    assert "| trained on | network | protocol | accuracy, % | networks |\n|---|---|---|---|---|\n" in text
    assert r"| memory | convnet\:width\=128 | own | 94.3 ± 0.6 | 3 |" in text
    assert r"| memory | convnet\:width\=128 | idc | 96.0 ± 0.0 | 1 |" in text
    assert r"| random | convnet\:width\=128 | idc | 64.8 ± 3.6 | 3 |" in text
    (index,) = front(text)["model-index"]  # type: ignore[misc]
    values = [result["metrics"][0]["value"] for result in index["results"]]
    assert values == [row["accuracy"]["mean"]], "by the first protocol"


def test_without_figures_or_repository() -> None:
    text = card(GOLDEN)
    assert "model-index" not in front(text)
    assert "memcli pull" not in text
    assert "real images: " not in text
    assert f"memcli retrain {GOLDEN.name} -o" in text


@pytest.mark.parametrize(
    ("licence", "keys"),
    [
        ("CC BY-SA 4.0", {"license": "cc-by-sa-4.0"}),
        ("MIT", {"license": "mit"}),
        ("Our own, v2!\n---\nlicense: mit", {"license": "other", "license_name": "our-own-v2-license-mit"}),
        ("©", {"license": "other", "license_name": "other"}),
    ],
)
def test_licences(licence: str, keys: dict[str, str], tmp_path: Path) -> None:
    told = front(card(write_memory(tmp_path / "m.safetensors", licence=licence)))
    assert {key: value for key, value in told.items() if key.startswith("license")} == keys


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    bad = "\n---\nlicense: mit\n# <script>alert(1)</script> | ![x](http://evil) `${{a}}`"
    text = card(write_memory(tmp_path / "m.safetensors", classes=(bad, "cat"), licence=bad, name=bad, source=bad))
    assert front(text)["license"] == "other"
    assert "<script" not in text.replace(r"\<script", "")
    assert "](http://evil" not in text
    body = text.partition("\n---\n\n")[2]
    assert "\n---\n" not in body
    assert all(line.count("|") - line.count(r"\|") == 3 for line in body.splitlines() if line.startswith("| "))


def test_markdown_shows_the_text_itself() -> None:
    assert markdown("a_b*c") == r"a\_b\*c"
    assert markdown("Ente\u202eü") == r"Ente\\u202eü"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not valid JSON"),
        ("{}", "holds no figures of `memcli eval`"),
        ('{"size": {}}', "tells of a memory of another size"),
    ],
)
def test_figures_that_are_none(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "eval.json").write_text(text)
    with pytest.raises(Exception, match=told) as caught:
        card(GOLDEN, figures=tmp_path / "eval.json")
    assert "do" in vars(caught.value)


def test_figures_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: .* Give what"):
        card(GOLDEN, figures=tmp_path / "nowhere.json")
    (tmp_path / "large.json").write_text(" " * (2**22 + 1))
    with pytest.raises(DataError, match="too large for a file of figures"):
        card(GOLDEN, figures=tmp_path / "large.json")
