"""Make the pictures of docs/report.md: the report of a memory of digits, light and dark, and memcli inspect.

python docs/make_screenshots.py [FOLDER]

FOLDER keeps the memory and its figures, which take some minutes, for a second time. It needs Playwright's Python
package and Chromium.
"""

import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

import memcli
from memcli.cli._pictures import draw

DOCS = Path(__file__).parent
NAME = "digits.safetensors"
_LINES = 5  # of what inspect prints
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TERMINAL = """<meta charset="utf-8"><style>
body {{ margin: 0; background: #14161a; color: #e9ebee; display: inline-block; padding: 18px 22px }}
pre {{ margin: 0; font: 14px/16px "DejaVu Sans Mono", monospace }}
</style><pre>{code}</pre>"""


def prepared(folder: Path) -> tuple[Path, Path]:
    """A memory of digits and what `memcli eval` measures of it, made where they are not there."""
    memory, figures = folder / NAME, folder / "eval.json"
    if not memory.exists():
        memcli.distill("digits", memory, ipc=1, cells=24, time_budget="60s")
    if not figures.exists():
        from memcli.jobs.evaluate import to_json

        report = memcli.evaluate(memory, "digits", runs=3, baselines=("random", "full"))
        figures.write_text(json.dumps({**to_json(report), "size": memcli.load(memory).spec.size()}))
    return memory, figures


def terminal(memory: Path) -> str:
    """A page that looks as a terminal does after `memcli inspect`."""
    artifact = memcli.load(memory)
    command = [sys.executable, "-m", "memcli", "inspect", memory.name]
    lines = subprocess.run(command, cwd=memory.parent, check=True, capture_output=True, text=True).stdout.splitlines()
    console = Console(record=True, width=110, force_terminal=True, color_system="truecolor", file=io.StringIO())
    console.print(f"$ memcli inspect {memory.name}", style="bold", highlight=False)
    for line in (*lines[:_LINES], "..."):
        console.print(line, highlight=False)
    draw(artifact.memory, console)
    return console.export_html(inline_styles=True, code_format=TERMINAL)


def pictures(folder: Path, memory: Path) -> None:
    """Photograph the pages in `folder` with Chromium, and write PNG of few colours beside this script."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    def shot(browser: Any, page: str, name: str, **settings: Any) -> None:
        opened = browser.new_page(**settings)
        opened.goto((folder / page).as_uri())
        body = opened.locator("body") if page == "terminal.html" else opened
        body.screenshot(path=folder / name)
        Image.open(folder / name).convert("RGB").quantize(128).save(DOCS / name, optimize=True)

    program = next(filter(None, map(shutil.which, BROWSERS)))
    memcli.report(memory, folder / "report.html", data="digits", figures=folder / "eval.json", force=True)
    (folder / "terminal.html").write_text(terminal(memory), encoding="utf-8")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            window = {"width": 1180, "height": 1500}
            shot(browser, "report.html", f"report-{scheme}.png", viewport=window, color_scheme=scheme)
        shot(browser, "terminal.html", "inspect.png", viewport={"width": 1000, "height": 700})
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        pictures(folder, prepared(folder)[0])


if __name__ == "__main__":
    main()
