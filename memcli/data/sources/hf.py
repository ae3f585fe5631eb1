"""`hf:USER/NAME[@REVISION][/FOLDER]`: a data set of the Hugging Face Hub. Needs the extra `hf`.

It comes from the Hub's cache on this machine, and from the network only where that is allowed.

What lies in the repository is read as a folder of this machine would be: Parquet, else WebDataset shards, else image
files. No code of it is run, and nothing else of it is fetched.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from memcli.data.sources._images import SUFFIXES
from memcli.data.sources._splits import split_of_folder
from memcli.data.sources._tree import files_below
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.data.sources.imagefolder import open_imagefolder
from memcli.data.sources.parquet import open_parquet
from memcli.data.sources.webdataset import open_webdataset
from memcli.errors import DataError, UsageError
from memcli.text import printable

_PLACE = re.compile(r"([\w.-]+/[\w.-]+)(?:@([^/\s]+))?(?:/([^\s].*))?", re.ASCII)
_KINDS = ((".parquet", open_parquet), (".tar", open_webdataset))
_TABLES = (".csv", ".jsonl")  # of labels, beside image files
_CONVERTED = "refs%2Fconvert%2Fparquet"  # the revision in which the Hub keeps what it made of a data set


def open_hf(rest: str, request: Request) -> Source:
    """FOLDER chooses one of several configurations, which lie in folders of their own; a slash in REVISION is %2F."""
    parts = _PLACE.fullmatch(rest)
    if parts is None or ".." in rest:
        raise UsageError(f"{printable(rest)!r} is no data set of the Hub", do="Write hf:USER/NAME[@REVISION][/FOLDER]")
    name, revision, folder = parts[1], parts[2] and unquote(parts[2]), (parts[3] or "").strip("/")
    root = _snapshot(name, revision, folder, request.download) / folder
    for suffix, opener in _KINDS:
        files = [path.relative_to(root) for path in files_below(root, (suffix,))]
        if files:
            _require_one_configuration(files, rest)
            return replace(opener(str(root), request), name=printable(name.partition("/")[2]))
    if not files_below(root, SUFFIXES):
        raise DataError(
            f"hf:{printable(rest)} holds no Parquet, no .tar and no image files",
            do=f"Look at its page; the Hub makes Parquet of most data sets: hf:{name}@{_CONVERTED}",
        )
    return replace(open_imagefolder(str(root), request), name=printable(name.partition("/")[2]))


def _require_one_configuration(files: list[Path], rest: str) -> None:
    """Raise DataError where files of one name lie in several folders, so that they are not one data set."""
    folders = sorted({file.parts[0] for file in files if len(file.parts) > 1 and not split_of_folder(file.parts[0])})
    if len(folders) > 1:
        raise DataError(
            f"hf:{printable(rest)} holds several sets, in the folders {listed(folders)}",
            do=f"Choose one, such as hf:{printable(rest)}/{printable(folders[0])}",
        )


def _snapshot(name: str, revision: str | None, folder: str, download: bool) -> Path:
    """The folder of the cache that holds the repository at that revision; fetched first where `download` allows it."""
    hub = _library()
    inside = f"{folder}/" if folder else ""
    patterns = [f"{inside}*{suffix}" for suffix in (*(suffix for suffix, _ in _KINDS), *_TABLES, *sorted(SUFFIXES))]
    with _explained(hub, name, revision, download):
        downloaded = hub.snapshot_download(
            name,
            repo_type="dataset",
            revision=revision,
            allow_patterns=patterns,
            local_files_only=not download,
            library_name="memcli",
        )
    snapshot = Path(downloaded)
    if any((snapshot.parents[1] / "blobs").glob("*.incomplete")):
        raise DataError(f"the download of hf:{name} was interrupted", do="Go on with it: add `download`")
    return snapshot


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise DataError(
            "reading hf: needs huggingface_hub, which is not installed", do="Run pip install 'memcli[hf]'"
        ) from None
    return huggingface_hub


@contextmanager
def _explained(hub: Any, name: str, revision: str | None, download: bool) -> Iterator[None]:
    """Turn what huggingface_hub raises into the error that a user should see; its own texts name hosts."""
    shown, errors = f"hf:{name}" + (f"@{printable(revision)}" if revision else ""), hub.errors
    try:
        yield
    except errors.GatedRepoError as error:
        raise DataError(f"{shown} is shared with those who ask for it", do="Ask on its page, set HF_TOKEN") from error
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise DataError(
            f"there is no {shown} that you may see", do="Check the name; for a private one set HF_TOKEN"
        ) from error
    except (errors.HTTPError, errors.HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        if not download:
            raise DataError(
                f"{shown} is not in the local cache", do="Allow it to be fetched: add `download`"
            ) from error
        raise DataError(
            f"{shown} cannot be fetched ({type(error).__name__})",
            do="Check the network, the space on disk, and HF_TOKEN where it is set",
        ) from error


SOURCE = SourceKind(open_hf, "USER/NAME[@REVISION][/FOLDER]: a data set of the Hugging Face Hub", resizes=True)
