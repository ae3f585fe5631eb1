"""A distillation by one of several processes: what is refused before any of them learns."""

from pathlib import Path
from typing import Any

import pytest

from memcli.errors import ExistsError, UsageError
from memcli.jobs import plan
from memcli.jobs.distill import distill
from memcli.ranks import Ranks

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


class Second(Ranks):
    """Rank 1 of two, whose first one says that it has nothing to do."""

    rank, size = 1, 2

    def said(self, text: str) -> str:
        assert text == ""
        return "read"


@pytest.fixture(autouse=True)
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "joined", Second)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replicas": 1}, r"`replicas` is 1 for 2 processes\. Give one or more for each process\."),
        ({"tune": True}, r"one process alone can `tune`\. Tune with one, then give the `bases`, `scale` and `rows`\."),
    ],
)
def test_what_several_processes_cannot_do_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        distill(FAKE, tmp_path / "m.safetensors", **settings)


def test_a_finished_run_whose_output_is_on_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExistsError, match=r"finished on the first rank's machine\. Read its output there\."):
        distill(FAKE, tmp_path / "m.safetensors")
