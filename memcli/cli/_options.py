"""The options that several commands share: the same word for the same thing everywhere. No torch here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from memcli.files.limits import Limits

# The panels of --help.
OUTPUT, DATA, TRAINING, COMPUTING, LIMITS, MESSAGES = "Output", "Data", "Training", "Computing", "Limits", "Messages"


def option(panel: str, *names: str, help: str, **more: Any) -> Any:
    """A typer.Option in a panel. The variable's name is not shown: the rule for it stands under `memcli --help`."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_envvar=False, **more)


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the option of that name in Python was typed or set in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether the option or argument of that name in Python was typed."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


MemoryFile = Annotated[Path, typer.Argument(metavar="FILE", help="A memory file.", show_default=False)]
MemoryFiles = Annotated[list[Path], typer.Argument(metavar="FILE", help="Memory files.", show_default=False)]
NetworkFile = Annotated[
    Path, typer.Argument(metavar="NETWORK", help="A file of weights, from memcli retrain.", show_default=False)
]

Output = Annotated[Path, option(OUTPUT, "--output", "-o", metavar="PATH", help="Where to write.")]
Force = Annotated[bool, option(OUTPUT, "--force", help="Replace the output where it exists.")]
Json = Annotated[bool, option(OUTPUT, "--json", help="Print one JSON object.")]

Seed = Annotated[
    int, option(COMPUTING, "--seed", min=0, max=2**32 - 1, metavar="N", help="The root of all random choices.")
]
Device = Annotated[
    str,
    option(COMPUTING, "--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps; auto takes a CUDA GPU if any."),
]
Nproc = Annotated[
    int,
    option(
        COMPUTING,
        "--nproc",
        min=1,
        max=1024,
        metavar="N",
        help="Let N processes of this machine share the work, one for each GPU, or for each so many cores.",
    ),
]
MaxImages = Annotated[
    int, option(LIMITS, "--max-images", min=1, metavar="N", help="Refuse a memory that would recall more images.")
]
MaxBytes = Annotated[
    str,
    option(LIMITS, "--max-bytes", metavar="SIZE", help="Refuse to write, or to recall into memory, more; as 20GB."),
]
MaxSeconds = Annotated[
    str, option(LIMITS, "--max-seconds", metavar="TIME", help="Refuse work that would take longer, as 90m or 200h.")
]
Trust = Annotated[bool, option(LIMITS, "--trust", help="Lift all limits: for files from people whom you trust.")]
ExpectSha256 = Annotated[
    str | None,
    option(LIMITS, "--expect-sha256", metavar="SUM", help="Refuse a file that is not the one of this checksum."),
]
ExpectEachSha256 = Annotated[
    list[str] | None,
    option(
        LIMITS,
        "--expect-sha256",
        metavar="SUM",
        help="Refuse a file that is not the one of this checksum; once for each file.",
    ),
]
MAX_IMAGES, MAX_BYTES, MAX_SECONDS = 10_000_000, "24GiB", "24h"  # the defaults of these

Quiet = Annotated[bool, option(MESSAGES, "--quiet", "-q", help="No progress and no notes.")]
Verbose = Annotated[bool, option(MESSAGES, "--verbose", "-v", help="Every report of progress on its own line.")]

Download = Annotated[bool, option(DATA, "--download", help="Allow the data to be downloaded where it is missing.")]

SkipDamaged = Annotated[
    int,
    option(DATA, "--skip-damaged", min=0, metavar="N", help="Go on without up to N images that cannot be read."),
]
Cache = Annotated[
    Path | None,
    option(
        DATA,
        "--cache",
        metavar="DIR",
        help="Decode image files once into DIR, and read them from there; default: in memory, or where they take more "
        "than 1 GiB, in ~/.cache/memcli.",
    ),
]
ClassNames = Annotated[
    Path | None,
    option(
        DATA,
        "--class-names",
        metavar="FILE.json",
        help='What the memory calls classes of the data that are called otherwise there: {"0 - zero": "0"}.',
    ),
]
Split = Annotated[
    str, option(DATA, "--split", metavar="NAME", help="What to measure on: test, or all of the data's images.")
]
Runs = Annotated[int, option(TRAINING, "--runs", min=1, max=10_000, metavar="N", help="Fresh networks of every kind.")]

OTHER_FAMILY = "Another family but resnet18 trains twice as long, at a quarter of the rate."


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def limits(
    max_images: int = MAX_IMAGES, max_bytes: str = MAX_BYTES, max_seconds: str = MAX_SECONDS, *, trust: bool = False
) -> "Limits":
    """What a file may cost a command."""
    from memcli.files.limits import TRUSTED, Limits
    from memcli.units import plain_bytes, seconds

    given = Limits(max_images=max_images, max_bytes=plain_bytes(max_bytes), max_seconds=seconds(max_seconds))
    return TRUSTED if trust else given
