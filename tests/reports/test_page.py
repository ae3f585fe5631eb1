"""The report of a memory: all sections, nothing of a stranger's that is not escaped, and a bounded size."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from memories import artifact
from tiny import RECIPE, write_images, write_memory

import memcli
from memcli.errors import DataError, ExistsError, UsageError
from memcli.files import memoryfile
from memcli.files.inspection import inspect
from memcli.files.memoryfile import Artifact
from memcli.jobs.evaluate import to_json
from memcli.jobs.figures import Mistake, Report, Trial

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
HOSTILE = ("<script>alert(1)</script>", 'a" onmouseover="alert(1)', "{{ 7 * 191 }}\u202e")


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def ids(self) -> set[str]:
        return {attributes["id"] or "" for tag, attributes in self.found if tag in ("h2", "h3") and "id" in attributes}


@pytest.fixture
def evaluated(tmp_path: Path) -> Callable[..., Path]:
    """Writes what `memcli eval --json` prints for a memory, made up; returns the path."""

    def write(memory: Path, **changed: object) -> Path:
        found = inspect(memory)
        classes = found.manifest.spec.data.classes
        trials = [Trial("mlp", "memory", accuracy, 1, 1.0, 0.1, (Mistake(0, 1, 3),)) for accuracy in (0.75, 0.85)]
        report = Report((*trials, Trial("mlp", "random", 0.5, 1, 1.0, 0.1)), classes, (4,) * len(classes))
        told = {**to_json(report), "size": found.manifest.spec.size(), "sha256": found.sha256, **changed}
        path = tmp_path / "eval.json"
        path.write_text(json.dumps(told))
        return path

    return write


def page_of(memory: Path, **settings: object) -> Elements:
    output = memory.with_suffix(".html")
    written = memcli.report(memory, output, **settings)
    assert written.bytes == output.stat().st_size
    return Elements(output.read_text(encoding="utf-8"))


def test_a_file_alone_has_pictures_bases_addresses_use_and_facts(tmp_path: Path) -> None:
    page = page_of(write_memory(tmp_path / "a.safetensors"))
    assert page.ids() == {"images", "bases", "addresses", "addresses-by-class", "use", "facts"}
    pictures = [image["alt"] for image in page.all("img")]
    assert pictures[:3] == [f"4 recalled images of {name}" for name in "012"]
    assert "3 of 3 bases" in pictures
    assert inspect(tmp_path / "a.safetensors").sha256 in page.text
    assert "memcli retrain a.safetensors -o net.safetensors" in page.text
    assert "outer.lr" in page.text


def test_sparse_addresses_are_shown_as_the_dense_ones_that_they_are(tmp_path: Path) -> None:
    sparse = memcli.load(write_memory(tmp_path / "sparse.safetensors", support=2))
    dense = Artifact(sparse.memory.dense(), replace(sparse.manifest, spec=sparse.memory.dense().spec))
    memoryfile.write(tmp_path / "dense.safetensors", dense, force=False)
    one, other = (page_of(tmp_path / f"{name}.safetensors") for name in ("sparse", "dense"))
    assert [image["src"] for image in one.all("img")] == [image["src"] for image in other.all("img")]
    assert len(one.all("img")) > 6


def test_data_adds_real_images_and_is_measured_on(tmp_path: Path) -> None:
    memory = write_memory(tmp_path / "a.safetensors")
    page = page_of(memory, data=FAKE, runs=1, device="cpu")
    assert {"accuracy", "classes"} <= page.ids()
    assert "8 real images of 1" in [image["alt"] for image in page.all("img")]
    reached = memcli.evaluate(memory, FAKE, runs=1, device="cpu").accuracy("mlp:width=8").mean
    assert f"{100 * reached:.1f} %" in page.text
    (chart,) = [svg for svg in page.all("svg") if (svg.get("aria-label") or "").startswith("Accuracy by bytes")]
    assert f"this memory {100 * reached:.1f} %" in chart["aria-label"]
    assert "random real images" in chart["aria-label"]


def test_figures_are_shown_and_nothing_is_trained(tmp_path: Path, evaluated: Callable) -> None:
    memory = write_memory(tmp_path / "a.safetensors")
    written = memcli.report(memory, tmp_path / "a.html", figures=evaluated(memory))
    page = Elements((tmp_path / "a.html").read_text())
    assert written.accuracy == pytest.approx(0.8)
    assert "80.0 %" in page.text
    assert "± 7.1" in page.text
    rows = re.findall(r"(\d)4(\d+\.\d %)", page.text)  # name, test images, accuracy
    assert rows == [("0", "25.0 %"), ("1", "100.0 %"), ("2", "100.0 %")], "the lowest first"
    assert [td["class"] for td in page.all("td") if (td.get("class") or "").startswith("m")][:2] == ["m2 right", "m4"]


def test_the_page_says_by_which_protocol_where_there_are_several(tmp_path: Path, evaluated: Callable) -> None:
    memory = write_memory(tmp_path / "a.safetensors")
    row = {"network": "mlp", "accuracy": {"mean": 0.5, "std": 0.0, "n": 1}}
    results = [{**row, "protocol": "own"}, {**row, "protocol": "idc", "accuracy": {"mean": 0.75, "std": 0.0, "n": 1}}]
    written = memcli.report(memory, tmp_path / "a.html", figures=evaluated(memory, results=results))
    assert written.accuracy == 0.5, "by the first"
    page = Elements((tmp_path / "a.html").read_text())
    assert "mlp, by own" in page.text
    assert "mlp, by idc" in page.text
    (chart,) = [svg["aria-label"] for svg in page.all("svg") if (svg.get("aria-label") or "").startswith("Accuracy by")]
    assert "50.0 %" in chart
    assert "75.0 %" not in chart, "a chart compares by one protocol"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sha256": "0" * 64}, "tells of another memory of this size"),
        ({"test_images": [1]}, "holds no figures of `memcli eval`"),
        ({"test_images": [-1, 1, 1]}, "holds no figures of `memcli eval`"),
        ({"majority": 1.5}, "holds no figures of `memcli eval`"),
        ({"results": [{"network": "mlp", "accuracy": {"mean": "NaN", "std": 0, "n": 1}}]}, "holds no figures"),
        ({"baselines": []}, "holds no figures of `memcli eval`"),
    ],
)
def test_figures_that_are_not_of_this_memory_are_refused(
    changed: dict[str, object], told: str, tmp_path: Path, evaluated: Callable
) -> None:
    memory = write_memory(tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=rf"{told}.* Give what `memcli eval FILE --json` printed for this memory\."):
        memcli.report(memory, tmp_path / "a.html", figures=evaluated(memory, **changed))
    assert not (tmp_path / "a.html").exists()


def test_a_run_s_curves_are_shown_where_the_run_made_the_file(tmp_path: Path) -> None:
    write_images(tmp_path / "photos")
    (tmp_path / "quick.toml").write_text(RECIPE)
    made = tmp_path / "made.safetensors"
    memcli.distill(tmp_path / "photos", made, recipe=str(tmp_path / "quick.toml"), device="cpu")
    with (tmp_path / "made.safetensors.run" / "metrics.jsonl").open("a") as file:
        file.write('torn {"\n{"step": 9, "validation": null, "loss": "x"}\n[]\n')
    page = page_of(made)
    assert "learning" in page.ids()
    (chart, *_) = [svg for svg in page.all("svg") if (svg.get("aria-label") or "").startswith("Accuracy on")]
    assert "at step 0; " in chart["aria-label"]
    write_memory(made)  # another memory in its place
    assert "learning" not in page_of(made, force=True).ids()


def test_names_and_texts_of_a_stranger_are_text(tmp_path: Path, evaluated: Callable) -> None:
    told = "<img src=//example.com/x.png onerror=alert(1)>"
    memory = write_memory(tmp_path / "a.safetensors", classes=HOSTILE, name="</title>", licence=told, source="\x1b[31m")
    page = page_of(memory, figures=evaluated(memory))
    assert {"script", "iframe", "form", "object"} & {tag for tag, _ in page.found} == set()
    for _, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        links = [attributes[name] or "" for name in ("src", "href") if name in attributes]
        assert all(link.startswith("data:") for link in links)
    assert HOSTILE[0] in page.text
    assert HOSTILE[1] in page.text
    assert "{{ 7 * 191 }}\\u202e" in page.text
    assert told in page.text
    assert not {"\x1b", "\u202e"} & set(page.text)


def test_the_policy_allows_the_page_s_own_style_and_pictures_alone(tmp_path: Path) -> None:
    write_memory(tmp_path / "a.safetensors")
    memcli.report(tmp_path / "a.safetensors", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    (policy,) = (
        meta["content"] for meta in Elements(text).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    )
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    assert not re.findall(r"https?://|@import|url\(", text)


def test_a_large_memory_makes_no_large_page(tmp_path: Path) -> None:
    large = artifact(tuple(f"class {number}" for number in range(1000)), rows=2, side=80)
    memoryfile.write(tmp_path / "a.safetensors", large, force=False)
    page = page_of(tmp_path / "a.safetensors")
    assert len(page.all("img")) == 24 + 1 + 12
    assert max(int(image["width"] or 0) for image in page.all("img")) < 1000
    assert (tmp_path / "a.html").stat().st_size < 2_000_000
    assert "24 of 1,000 classes" in page.text


def test_images_of_two_channels_and_one_class_are_shown(tmp_path: Path) -> None:
    memoryfile.write(tmp_path / "a.safetensors", artifact(("only",), channels=2, rows=1), force=False)
    assert "1 recalled images of only" in [image["alt"] for image in page_of(tmp_path / "a.safetensors").all("img")]


def test_a_page_is_replaced_only_when_asked_and_is_named_as_one(tmp_path: Path) -> None:
    memory = write_memory(tmp_path / "a.safetensors")
    page_of(memory)
    with pytest.raises(ExistsError, match="Add `force` to replace it"):
        page_of(memory)
    page_of(memory, force=True)
    with pytest.raises(UsageError, match=r"is no name of a page\. Let `output` end in \.html\."):
        memcli.report(memory, tmp_path / "report.pdf")
