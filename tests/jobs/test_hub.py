"""Memories go to the Hub and come back, by the real client, against a stand-in on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stub import Hub, serving
from tiny import write_memory
from typer.testing import CliRunner, Result

import memcli
from memcli.cli.app import app
from memcli.errors import DataError, ExistsError, LimitError, MemoryFileError, UsageError
from memcli.files.limits import Limits
from memcli.jobs.hub import Place, pull, push

pytest.importorskip("huggingface_hub", reason="the extra hf is not installed")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The stand-in, for a user who has no token, no cache and no Xet."""
    import huggingface_hub.constants as known

    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(known, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(known, "HF_HUB_DISABLE_XET", True)
    with serving() as hub:
        monkeypatch.setattr(known, "ENDPOINT", hub.address)  # as HF_ENDPOINT sets both, when they are imported
        monkeypatch.setattr(
            known, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield hub


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return write_memory(tmp_path / "shoes.safetensors", licence="CC BY 4.0")


def memcli_runs(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub's own
def test_what_is_pushed_is_what_was_checked(
    hub: Hub, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another file takes its name in between; and its card is of the same."""
    checked, sha256 = memory.read_bytes(), memcli.inspect(memory).sha256
    with pytest.raises(MemoryFileError, match="was expected"):
        push(memory, "hf:ada/shoes", expect_sha256="0" * 64)
    assert not hub.files
    other, open_file = write_memory(tmp_path / "other", classes=("2", "1", "0")), os.open

    def exchanged(path: str, *args: int, **more: int) -> int:
        descriptor = open_file(path, *args, **more)
        if Path(path) == memory and other.exists():
            os.replace(other, memory)
        return descriptor

    monkeypatch.setattr(os, "open", exchanged)
    assert push(memory, "hf:ada/shoes", expect_sha256=sha256).sha256 == sha256
    assert hub.files["ada/shoes"]["shoes.safetensors"] == checked != memory.read_bytes()
    assert f"`{sha256}`" in hub.files["ada/shoes"]["README.md"].decode()
    with pytest.raises(MemoryFileError, match="was expected"):
        pull("hf:ada/shoes", tmp_path / "back", expect_sha256="0" * 64)
    assert not (tmp_path / "back").exists()


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub's own
@pytest.mark.parametrize("large", [False, True])
def test_a_memory_goes_there_and_comes_back(hub: Hub, memory: Path, tmp_path: Path, large: bool) -> None:
    hub.large = {"shoes.safetensors"} if large else set()
    done = push(memory, "hf:ada/shoes")
    assert (done.file, done.card) == ("shoes.safetensors", "written")
    assert done.url == f"{hub.address}/ada/shoes/commit/{'c' * 40}"
    assert hub.private["ada/shoes"]
    assert bool(hub.stored) == large
    card = hub.files["ada/shoes"]["README.md"].decode()
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    assert "memcli pull hf:ada/shoes/shoes.safetensors -o shoes.safetensors" in card
    found = pull("hf:ada/shoes", tmp_path / "back.safetensors")
    assert found.path.read_bytes() == memory.read_bytes()
    assert (found.commit, found.sha256) == ("c" * 40, memcli.load(memory).sha256)
    assert sorted(tmp_path.glob(".*")) == []


def test_the_commands(hub: Hub, memory: Path, tmp_path: Path) -> None:
    pushed = memcli_runs("push", memory, "hf:ada/shoes/first.safetensors", "--public")
    assert pushed.exit_code == 0, pushed.stderr
    assert not hub.private["ada/shoes"]
    pulled = memcli_runs("pull", "hf:ada/shoes@refs%2Fpr%2F1/first.safetensors", "-o", tmp_path / "b.safetensors")
    assert pulled.exit_code == 0, pulled.stderr
    assert f"hf:ada/shoes@{'c' * 40}/first.safetensors" in pulled.stdout
    again = memcli_runs("pull", "hf:ada/shoes", "-o", tmp_path / "b.safetensors")
    assert again.exit_code == 8
    large = memcli_runs("pull", "hf:ada/shoes", "-o", tmp_path / "c.safetensors", "--max-file", 0.0001)
    assert large.exit_code == 5
    assert large.stderr.endswith("over the limit of 104. Raise --max-file if you trust it.\n")


def test_the_endpoint_and_the_token_are_those_of_the_environment(hub: Hub, memory: Path, tmp_path: Path) -> None:
    hub.files["ada/shoes"], hub.token = {"shoes.safetensors": memory.read_bytes()}, "hf_secret"
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "memcli", "pull", "hf:ada/shoes", "-o", "a.safetensors", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == memcli.load(memory).sha256
    assert done.stderr == ""


def test_a_card_of_one_s_own_is_kept(hub: Hub, memory: Path, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    assert push(memory, "hf:ada/shoes", own_card=tmp_path / "card.md").card == "written"
    assert push(memory, "hf:ada/shoes").card == "kept"
    assert hub.files["ada/shoes"]["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"
    with pytest.raises(DataError, match=r"the card .* cannot be read. Give a text file"):
        push(memory, "hf:ada/shoes", own_card=tmp_path / "none.md")


def test_only_a_valid_memory_is_pushed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no memory at all")
    with pytest.raises(MemoryFileError):
        push(tmp_path / "x.safetensors", "hf:ada/shoes")
    assert hub.asked == []


def test_what_is_pulled_is_checked_before_it_is_put_in_place(hub: Hub, memory: Path, tmp_path: Path) -> None:
    damaged = bytearray(memory.read_bytes())
    damaged[-1] ^= 1
    hub.files["ada/shoes"] = {"shoes.safetensors": bytes(damaged)}
    kept = write_memory(tmp_path / "kept.safetensors").read_bytes()
    with pytest.raises(MemoryFileError):
        pull("hf:ada/shoes", tmp_path / "kept.safetensors", force=True)
    assert (tmp_path / "kept.safetensors").read_bytes() == kept


def test_sizes_are_asked_for_before_and_counted_on_the_way(hub: Hub, memory: Path, tmp_path: Path) -> None:
    hub.files["ada/shoes"] = {"shoes.safetensors": memory.read_bytes()}
    small = Limits(max_file=100)
    with pytest.raises(LimitError, match="over the limit of 100"):
        pull("hf:ada/shoes", tmp_path / "a.safetensors", limits=small)
    assert not any("resolve" in asked for asked in hub.asked)
    hub.claimed = 50
    with pytest.raises(LimitError, match="over the limit of 100"):
        pull("hf:ada/shoes", tmp_path / "a.safetensors", limits=small)
    assert any("resolve" in asked for asked in hub.asked)
    assert not (tmp_path / "a.safetensors").exists()


def test_nothing_but_a_memory_is_fetched(hub: Hub, memory: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"
    hub.files["ada/pickles"] = {"model.bin": b"", "model.pkl": b"", "README.md": b""}
    with pytest.raises(DataError, match=r"no \.safetensors file in ada/pickles, and memcli reads no other"):
        pull("hf:ada/pickles", output)
    with pytest.raises(UsageError, match=r"'model\.pkl' is no memory file, whose name ends in \.safetensors"):
        pull("hf:ada/pickles/model.pkl", output)
    hub.files["ada/two"] = dict.fromkeys(("a.safetensors", "b.safetensors"), memory.read_bytes())
    with pytest.raises(DataError, match=r"several memories. Add one of these .*: a\.safetensors, b\.safetensors"):
        pull("hf:ada/two", output)
    with pytest.raises(DataError, match=r"there is no c\.safetensors in it. Add one of these"):
        pull("hf:ada/two/c.safetensors", output)
    assert not any("resolve" in asked for asked in hub.asked)
    assert pull("hf:ada/two@main/b.safetensors", output).file == "b.safetensors"
    with pytest.raises(ExistsError):
        pull("hf:ada/two/b.safetensors", output)


def test_a_token_is_given_and_never_shown(
    hub: Hub, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    for action in (lambda: push(memory, "hf:ada/shoes"), lambda: pull("hf:ada/shoes", tmp_path / "a.safetensors")):
        with pytest.raises((UsageError, DataError), match="HF_TOKEN") as refused:
            action()
        assert "secret" not in str(refused.value)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    push(memory, "hf:ada/shoes")
    pull("hf:ada/shoes", tmp_path / "a.safetensors")
    hub.token = "hf_other"
    refusal = memcli_runs("push", memory, "hf:ada/shoes")
    assert refusal.exit_code == 2
    assert "Set HF_TOKEN to a token that may write" in refusal.stderr
    assert "secret" not in refusal.stderr + refusal.stdout


def test_what_is_not_there(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no hf:ada/none that you may see. Check the name"):
        pull("hf:ada/none", tmp_path / "a.safetensors")
    hub.files["ada/shoes"] = {}
    with pytest.raises(DataError, match=r"hf:ada/shoes has no revision 'v9'. Check it"):
        pull("hf:ada/shoes@v9", tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match=r"hf:ada/-- is no name of a repository. Write hf:USER"):
        pull("hf:ada/--", tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ((403, "GatedRepo"), r"hf:ada/shoes is shared with those who ask for it\. Ask on its page, and set HF_TOKEN"),
        ((403, "Forbidden"), r"the Hub refused hf:ada/shoes with status 403\. Set HF_TOKEN"),
        ((400, "BadRequest"), r"the Hub refused hf:ada/shoes with status 400\. Try again later"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, tmp_path: Path, failure: tuple[int, str], told: str) -> None:
    hub.failure = failure
    with pytest.raises(UsageError if failure[0] == 403 else DataError, match=told):
        pull("hf:ada/shoes", tmp_path / "a.safetensors")


def test_a_machine_that_is_told_to_stay_offline(hub: Hub, memory: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "memcli", "push", str(memory), "hf:ada/shoes"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, hub.asked) == (3, [])
    assert done.stderr == "memcli: error: the Hub is not asked, since HF_HUB_OFFLINE is set. Unset it.\n"


def test_a_store_that_fails(hub: Hub, memory: Path) -> None:
    hub.large, hub.address = {"shoes.safetensors"}, "http://127.0.0.1:9"  # where it says that the store is
    with pytest.raises(DataError, match=r"cannot be reached.*Check the network"):
        push(memory, "hf:ada/shoes")


def test_no_hub_at_that_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the Hub cannot be reached.*Check the network, and HF_ENDPOINT"):
        pull("hf:ada/shoes", tmp_path / "a.safetensors", endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize("text", ["ada/shoes", "hf:ada", "hf:ada/sh oes", "hf:ada/shoes/../x.safetensors", "hf:a/b@/c"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no place on the Hub. Write hf:USER/NAME"):
        Place.of(text)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"Run pip install 'memcli\[hf\]'"):
        push(memory, "hf:ada/shoes")
