"""What dry runs promise beside what runs take, on a run so small that its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import promises
import pytest


def test_a_promise_is_told_beside_what_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "_SAMPLED", 0.05)  # the whole run takes seconds
    recipe = tmp_path / "tiny.toml"
    network = 'network = "mlp:width=8"\nsteps = 3\n'
    objective = f'[stages.objective]\nkind = "unrolled"\n{network}'
    recipe.write_text(f"[[stages]]\nsteps = 4\n{objective}[check]\n{network}[retrain]\n{network}")
    row = promises.promise("tiny", "fake:n=60,test=30,classes=3,shape=1x8x8", f"--recipe {recipe} --steps 4", tmp_path)
    assert json.loads(json.dumps(row)) == row
    assert row["promised"] > 0
    assert row["taken"] > 0
    assert 0.5 < row["taken_mib"] / row["promised_mib"] < 2
    assert promises.line(row).startswith("| tiny | ")


def test_a_budget_is_told_as_the_share_that_was_used() -> None:
    row = {"run": "a", "settings": "--tune --time-budget 2m", "promised": 120.0, "taken": 114.0}
    row |= {"promised_mib": 1000.0, "taken_mib": 900.0}
    assert promises.line(row) == "| a | 120 | 114 | 0.95 | 1000 | 900 | 0.90 | 2m: 95 % |"


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3: oh"):
        promises.measured([sys.executable, "-c", "import sys; sys.stderr.write('oh'); sys.exit(3)"])


def test_memory_is_that_of_all_processes_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "_SAMPLED", 0.05)
    child = "import sys, time; held = bytes([1]) * (150 << 20); print(flush=True); time.sleep(float(sys.argv[1]))"
    below = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {child!r}, '2'])"
    both = f"held = bytes([1]) * (150 << 20); {below}"
    assert 300 < promises.measured([sys.executable, "-c", both])[1] < 400
    assert 150 < promises.measured([sys.executable, "-c", below])[1] < 250


def test_what_another_program_maps_as_well_is_counted_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "_SAMPLED", 0.05)
    file = tmp_path / "library"
    file.write_bytes(bytes([1]) * (150 << 20))
    mapped = f"import mmap, sys, time; f = open({str(file)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    mapped += "; m[::4096]; print(flush=True); time.sleep(float(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", mapped, "600"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        taken = promises.measured([sys.executable, "-c", mapped, "2"])[1]
        other.kill()
    assert 150 < taken < 250


def test_all_runs_have_names_of_their_own() -> None:
    names = [name for name, _, _ in promises.RUNS]
    assert len(names) == len(set(names)) == 10
