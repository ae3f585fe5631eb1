"""Tests on real data run where MEMCLI_DATA names its folder, and are skipped with a reason elsewhere."""

from pathlib import Path

import pytest
from real_data import real_folder


@pytest.mark.parametrize(
    ("named", "reason"),
    [(None, "MEMCLI_DATA is not set; set it to a folder"), ("", "is not set"), ("none/here", "names none/here")],
)
def test_without_real_data_a_test_is_skipped_with_the_reason(named: str | None, reason: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=reason):
        real_folder(named)


def test_the_folder_that_is_named(tmp_path: Path) -> None:
    assert real_folder(str(tmp_path)) == tmp_path


def test_ci_names_the_folder_beside_its_clone() -> None:
    run = Path(__file__).resolve().parents[1] / ".ci" / "run"
    assert 'export MEMCLI_DATA="${MEMCLI_DATA:-$PWD/../shared/data}"' in run.read_text(encoding="utf-8").splitlines()
