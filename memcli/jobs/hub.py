"""Handing memories on: to a repository of the Hugging Face Hub, and from one. Needs the extra `hf`.

Tokens, the endpoint and proxies are huggingface_hub's own business (HF_TOKEN, HF_ENDPOINT); none is shown or kept here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from urllib.parse import unquote

from memcli import __version__
from memcli.errors import DataError, LimitError, UsageError
from memcli.files import atomic
from memcli.files.card import card_of
from memcli.files.inspection import inspect_content
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.text import printable

CARD = "README.md"
_SUFFIX = ".safetensors"
_PLACE = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([^/\s]+))?(?:/([^\s].*))?", re.ASCII)
_FORM = "Write hf:USER/NAME, hf:USER/NAME@REVISION or hf:USER/NAME/FILE.safetensors"


@dataclass(frozen=True)
class Place:
    """A repository of the Hub, and what of it: `hf:USER/NAME[@REVISION][/FILE]`."""

    repository: str
    revision: str | None
    file: str | None

    @classmethod
    def of(cls, text: str) -> "Place":
        """The place that `text` names; a slash in a revision is written %2F. Raises UsageError."""
        parts = _PLACE.fullmatch(text)
        if parts is None or ".." in text:
            raise UsageError(f"{printable(text)!r} is no place on the Hub", do=_FORM)
        if parts[3] is not None and not parts[3].endswith(_SUFFIX):
            raise UsageError(f"{printable(parts[3])!r} is no memory file, whose name ends in {_SUFFIX}", do=_FORM)
        return cls(parts[1], parts[2] and unquote(parts[2]), parts[3])


@dataclass(frozen=True)
class Pushed:
    """What was put into a repository."""

    url: str  # of the commit
    file: str
    sha256: str  # the checksum of the memory
    card: str  # "written", or "kept": there was one, which may have been written by hand


@dataclass(frozen=True)
class Pulled:
    """A memory that was fetched, checked and written."""

    path: Path
    repository: str
    commit: str
    file: str
    file_bytes: int
    sha256: str  # the checksum of the memory


def push(
    memory: str | Path,
    to: str,
    *,
    public: bool = False,
    own_card: str | Path | None = None,
    expect_sha256: str | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Put a memory file and a card into the model repository `to`, `hf:USER/NAME[@BRANCH][/FILE]`, in one commit.

    A repository that is missing is made, private unless `public`; one that is there stays as visible as it is. The card
    is the text of `own_card`, or else made by `memcli.card`, unless the repository has one. `expect_sha256`: the
    checksum that the memory must have.

    Raises MemoryFileError where the file is no valid memory, UsageError for a wrong place, without the extra or
    without permission, and DataError where the Hub cannot be reached.
    """
    hub, place = _library(), Place.of(to)
    path = Path(memory)
    found, content = inspect_content(memory, expect_sha256=expect_sha256)
    name = place.file or (path.name if path.suffix == _SUFFIX else f"{path.name}{_SUFFIX}")
    text = _text(own_card)
    api = hub.HfApi(endpoint=endpoint, library_name="memcli", library_version=__version__)
    with _explained(hub, place):
        api.create_repo(place.repository, private=not public, exist_ok=True)
        there = api.model_info(place.repository).siblings or []
        writes = text is not None or CARD not in {each.rfilename for each in there}
        operations = [hub.CommitOperationAdd(name, content)]
        if writes:
            written = card_of(found, path, repository=place.repository) if text is None else text
            operations.append(hub.CommitOperationAdd(CARD, written.encode()))
        done = api.create_commit(
            place.repository, operations, commit_message=f"Memory {found.sha256[:12]}", revision=place.revision
        )
    return Pushed(str(done.commit_url), name, found.sha256, "written" if writes else "kept")


def pull(
    place: str,
    output: str | Path,
    *,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | None = None,
    endpoint: str | None = None,
) -> Pulled:
    """Fetch one memory file from `hf:USER/NAME[@REVISION][/FILE]`, check it whole, and only then write it to `output`.

    FILE may be left out where the repository has one .safetensors file; nothing else is ever fetched. The size is asked
    for first, and what is sent is counted too. `expect_sha256`: the checksum that it must have.

    Raises LimitError where it is over `limits`, MemoryFileError where it is no valid memory, ExistsError where `output`
    exists, UsageError for a wrong place or without the extra, and DataError where the Hub cannot be reached.
    """
    hub, wanted = _library(), Place.of(place)
    atomic.check_output(output, force)
    api = hub.HfApi(endpoint=endpoint, library_name="memcli", library_version=__version__)
    with TemporaryDirectory(prefix="memcli-") as folder:
        fetched = Path(folder) / "memory.safetensors"
        with _explained(hub, wanted), open(fetched, "wb") as file:
            about = api.model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
            name, size = _chosen(about.siblings or [], wanted)
            _require_size(size, limits)
            _fetch(
                hub, hub.hf_hub_url(wanted.repository, name, revision=about.sha, endpoint=api.endpoint), file, limits
            )
        found, content = inspect_content(fetched, limits, expect_sha256=expect_sha256)
        atomic.write_bytes(output, content, force=force)
    return Pulled(Path(output), wanted.repository, str(about.sha), name, found.file_bytes, found.sha256)


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(
            "the Hugging Face Hub needs huggingface_hub, which is not installed", do="Run pip install 'memcli[hf]'"
        ) from None
    return huggingface_hub


def _text(path: str | Path | None) -> str | None:
    """The text of a card that a person wrote."""
    try:
        return None if path is None else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the card {printable(str(path))} cannot be read", do="Give a text file") from error


def _chosen(files: list[Any], wanted: Place) -> tuple[str, int | None]:
    """The file of the repository that is meant, and its size in bytes as far as the Hub tells it."""
    memories = {each.rfilename: each.size for each in files if each.rfilename.endswith(_SUFFIX)}
    if wanted.file is not None and wanted.file in memories:
        return wanted.file, memories[wanted.file]
    known = ", ".join(printable(name) for name in sorted(memories)[:20])
    if wanted.file is None and len(memories) == 1:
        return next(iter(memories.items()))
    if not memories:
        raise DataError(
            f"there is no {_SUFFIX} file in {wanted.repository}, and memcli reads no other", do="Check the repository"
        )
    what = f"{wanted.repository} has several memories" if wanted.file is None else f"there is no {wanted.file} in it"
    raise DataError(printable(what), do=f"Add one of these to the place, after a slash: {known}")


def _require_size(size: int | None, limits: Limits) -> None:
    if size is not None and size > limits.max_file:
        raise LimitError(
            f"the file is of {size:,} bytes, over the limit of {limits.max_file:,}",
            do="Raise `max_file` if you trust it",
        )


def _fetch(hub: Any, url: str, file: BinaryIO, limits: Limits) -> None:
    """What is at `url`, up to one byte more than the limit."""
    headers = hub.utils.build_hf_headers(library_name="memcli", library_version=__version__)
    count = 0
    with hub.get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
        hub.utils.hf_raise_for_status(response)
        for part in response.iter_bytes():
            count += len(part)
            _require_size(count, limits)
            file.write(part)


@contextmanager
def _explained(hub: Any, place: Place) -> Iterator[None]:
    """Turn what huggingface_hub raises into the error that a user should see. Its texts are not shown: they name hosts,
    and what a server sends may be anything."""
    shown, errors = f"hf:{place.repository}", hub.errors
    try:
        yield
    except errors.GatedRepoError as error:
        raise UsageError(
            f"{shown} is shared with those who ask for it", do="Ask on its page, and set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{shown} has no revision {printable(str(place.revision))!r}", do="Check it") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"there is no {shown} that you may see", do="Check the name; for a private one set HF_TOKEN"
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{shown} is no name of a repository", do=_FORM) from error
    except errors.OfflineModeIsEnabled as error:
        raise DataError("the Hub is not asked, since HF_HUB_OFFLINE is set", do="Unset it") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        refused = code in (401, 403)
        do = "Set HF_TOKEN to a token that may write, or run hf auth login" if refused else "Try again later"
        kind = UsageError if refused else DataError
        raise kind(f"the Hub refused {shown} with status {code}", do=do) from error
    except (errors.HTTPError, ConnectionError, ValueError, RuntimeError) as error:  # no JSON; an upload that fails
        told = f"the Hub cannot be reached, or does not answer as one ({type(error).__name__})"
        raise DataError(told, do="Check the network, and HF_ENDPOINT if it is set") from error
