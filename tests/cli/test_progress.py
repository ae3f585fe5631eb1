"""Progress on stderr."""

import io
import sys
from itertools import pairwise

import pytest
import rich.progress  # noqa: F401  here, since its import moves the generator of `random`, which the tests watch

from memcli.cli._progress import PlainProgress, RichProgress, duration, fitted, reporting
from memcli.progress import Progress, Silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = PlainProgress(5.0, clock)
    progress.begin("training", 100)
    for step in range(1, 101):
        clock.now += 0.1
        progress.update(step, loss=1 / step)
    progress.end()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("memcli: training: 50/100 steps, 5.0 s left, loss 0.02") or lines[0].startswith(
        "memcli: training: 51/100 steps"
    )
    assert lines[-1] == "memcli: training: 100/100 steps, done in 10.0 s, loss 0.01"
    assert len(lines) in (2, 3)


def test_the_last_step_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = PlainProgress(5.0, clock)
    progress.begin("training", 80)
    clock.now = 6.0
    progress.update(80, loss=0.5)
    progress.end()
    assert capsys.readouterr().err == "memcli: training: 80/80 steps, done in 6.0 s, loss 0.5\n"
    progress.begin("learning", 10, "s")
    clock.now = 16.0
    progress.update(10)
    progress.busy("a look")
    assert capsys.readouterr().err == "memcli: learning: 10/10 s, 0.0 s left, a look\n", "it goes on"


def test_lines_of_a_long_stage_become_rarer_down_to_one_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    def said_at(every: float, seconds: int) -> list[int]:
        clock = Clock()
        progress = PlainProgress(every, clock)
        progress.begin("learning", None, "s")
        for second in range(1, seconds + 1):
            clock.now += 1.0
            progress.update(second)
        return [int(line.split()[2]) for line in capsys.readouterr().err.splitlines()]

    told = said_at(5.0, 3 * 3600)
    gaps = [after - before for before, after in pairwise([0, *told])]
    assert gaps[:10] == [5] * 10
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    assert len(said_at(5.0, 600)) < 40
    assert said_at(0.0, 100) == list(range(1, 101))


@pytest.mark.parametrize(("unit", "left"), [("steps", "20.0 s"), ("s", "50.0 s")])
def test_a_stage_that_begins_late_tells_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str], unit: str, left: str
) -> None:
    """Steps by their speed in this stage; seconds are what they are."""
    clock = Clock()
    progress = PlainProgress(4.0, clock)
    progress.begin("training", 100, unit, 40)
    clock.now += 4.0
    progress.update(50)
    assert capsys.readouterr().err == f"memcli: training: 50/100 {unit}, {left} left\n"


def test_plain_lines_without_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(0.0)
    progress.begin("\x1b[31mx", None, "s")
    progress.update(3, accuracy=0.75)
    progress.note("guessed\nthis")
    progress.end()
    assert capsys.readouterr().err.splitlines() == [
        "memcli: \\x1b[31mx: 3 s, accuracy 0.75",
        "memcli: guessed\\nthis",
        "memcli: \\x1b[31mx: 3 s, done in 0.0 s, accuracy 0.75",
    ]


def test_what_a_stage_waits_for_is_told_and_what_is_not_counted_gets_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    progress = PlainProgress(5.0, clock)
    progress.begin("reading", None, "")
    progress.begin("distilling", 10)
    progress.update(1)
    clock.now += 20.0
    progress.busy("looking")
    progress.busy("")
    progress.update(2, best_look=0.5)
    progress.end()
    assert capsys.readouterr().err.splitlines() == [
        "memcli: reading",
        "memcli: distilling: 1/10 steps, 3 min 00 s left, looking",
        "memcli: distilling: 2/10 steps, done in 20.0 s, best look 0.5",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_bar_keeps_the_time_left_and_the_budget_at_every_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    with reporting(quiet=False, verbose=False) as progress:
        progress.begin("distilling, unrolled", 300, "s", 20)
        progress.update(120, loss=0.123, look=0.71234, best_look=0.72345)
        progress.end()
    last = terminal.getvalue().replace("\x1b[?25h", "").rstrip().rpartition("\x1b[2K")[2]
    assert len(last) <= width
    assert "120/300 s" in last
    assert "3 min 00 s left" in last or "2 min 59 s left" in last
    assert "━━━───" in last
    assert last.startswith("distilling, unrolled" if width > 60 else "distilling")
    assert ("best look 0.72" in last) == (width == 120)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (80, ("title", 40, "a, b")),
        (43, ("title", 9, "a, b")),
        (40, ("title", 9, "a")),
        (38, ("title", 8, "")),
        (36, ("ti…", 8, "")),
        (10, ("…", 8, "")),
    ],
)
def test_details_go_first_then_the_title(width: int, expected: tuple[str, int, str]) -> None:
    assert fitted(width, "title", "x" * 20, ["a", "b"]) == expected


def use(progress: Progress) -> None:
    progress.begin("[red]training", 10)
    progress.update(5, loss=0.25, validation=0.5)
    progress.note("[bold]a note\x1b[31m")
    progress.end()
    progress.begin("unknown", None, "images")
    progress.update(7)
    progress.end()


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    with reporting(quiet=False, verbose=False) as progress:
        assert isinstance(progress, RichProgress)
        use(progress)
    shown = terminal.getvalue()
    assert "[red]training" in shown
    assert "5/10 steps" in shown
    assert "left loss 0.25, validation 0.5" in shown
    assert "7 images" in shown
    assert "memcli: [bold]a note\\x1b[31m" in shown


@pytest.mark.parametrize(
    ("terminal", "environment", "verbose", "kind"),
    [
        (True, {}, False, RichProgress),
        (True, {}, True, PlainProgress),
        (True, {"CI": "true"}, False, PlainProgress),
        (False, {}, False, PlainProgress),
    ],
)
def test_who_gets_what(
    terminal: bool, environment: dict[str, str], verbose: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with reporting(quiet=False, verbose=verbose) as progress:
        assert isinstance(progress, kind)
    with reporting(quiet=True, verbose=verbose) as progress:
        assert isinstance(progress, Silent)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(quiet=True, verbose=False) as progress:
        use(progress)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (200.4, "3 min 20 s"), (7500, "2 h 05 min"), (59.97, "1 min 00 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
