"""How a network is trained: the recipe that every memory file holds. No torch."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from memcli.data.augmentations import augmentations
from memcli.errors import UsageError
from memcli.text import printable

MOST = {"steps": 1_000_000, "batch": 100_000, "lr": 1e3, "noise": 1e3}  # beyond any use; a file may not ask for more
_LONGEST_NETWORK = 1000  # characters
_STEADY = ("resnet18",)  # families that do best at the rate that was chosen for another
_NEWER = ("decay", "augment", "mixture", "noise")  # settings of TrainRecipe that the first files did not have
_NEWEST = ("drop", "weight_decay", "cutmix", "sampled")  # and those that the first recipes do not state either


@dataclass(frozen=True)
class TrainRecipe:
    """How a network is trained: stored in every memory file, so that `retrain` with no flags repeats it."""

    network: str = "convnet"
    steps: int = 100
    batch: int = 100  # images a step, spread evenly over the classes: see `images`
    lr: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0  # the share of the steps, the last ones, in which the rate falls to 0 by a cosine; 0: constant
    augment: str = ""  # names in AUGMENTATIONS, as "shift,rotate"; every image of every step has its own draw
    mixture: float = 0.0  # the largest share of a second class in what is recalled; 0: one class an image
    noise: float = 0.0  # standard deviation of Gaussian noise added to the normalised images of every step
    drop: float = 1.0  # the rate is multiplied by it after 2/3, and again after 5/6, of the steps
    weight_decay: float = 0.0  # of SGD, on all parameters
    cutmix: float = 0.0  # the chance that a minibatch is cut and mixed (data.cutmix)
    sampled: bool = False  # whether a step has just `batch` images, over classes in turn, also where classes are more

    def __post_init__(self) -> None:
        augmentations(self.augment)
        for what in ("decay", "mixture", "drop", "weight_decay", "cutmix"):
            if not 0 <= getattr(self, what) <= 1:
                raise UsageError(f"{what} is {getattr(self, what)}", do=f"Give {what} from 0 to 1")
        for what in ("steps", "batch"):
            value = getattr(self, what)
            if not (isinstance(value, int) and 1 <= value <= MOST[what]):
                raise UsageError(f"{what} is {value!r}", do=f"Give {what} as a whole number, 1 to {MOST[what]}")
        if not (0 < self.lr <= MOST["lr"] and 0 <= self.momentum < 1):
            raise UsageError(
                f"rate {self.lr} with momentum {self.momentum} cannot train",
                do=f"Give a positive rate of at most {MOST['lr']:g} and a momentum in [0, 1)",
            )
        if not 0 <= self.noise <= MOST["noise"]:
            raise UsageError(f"noise is {self.noise}", do=f"Give a standard deviation from 0 to {MOST['noise']:g}")
        if len(self.network) > _LONGEST_NETWORK:
            raise UsageError(f"the name of a network has {len(self.network)} characters", do="Give a shorter one")

    def images(self, classes: int, *, union: bool = False) -> int:
        """Images of a step that recalls from a memory of so many classes, or draws from all that a `union` recalls.

        Where a memory's are not `sampled`, as in files before that could be: as many of each class, and at least one.
        """
        return self.batch if self.sampled or union else classes * max(1, self.batch // classes)

    def for_network(self, network: str) -> Self:
        """The recipe for another network than its own.

        A memory was learned for one network and its rate. Others, above all those without norms, end far lower at that
        rate, or at chance. So another family has a quarter of the rate, and twice the steps. The same family, and
        those of _STEADY, are trained as the recipe says (docs/log/ has what that is worth).
        """
        family, named = network.partition(":")[0], replace(self, network=network)
        if family in (self.network.partition(":")[0], *_STEADY):
            return named
        return replace(named, lr=self.lr / 4, steps=min(2 * self.steps, int(MOST["steps"])))

    def to_json(self) -> dict[str, Any]:
        """As files hold it: settings that are newer than the format are left out where they have their default."""
        return self._without_defaults(_NEWER + _NEWEST)

    def stated(self) -> dict[str, Any]:
        """As recipes state it: every setting, but none that is newer than they are and has its default."""
        return self._without_defaults(_NEWEST)

    def _without_defaults(self, names: tuple[str, ...]) -> dict[str, Any]:
        plain = {field.name: field.default for field in fields(self) if field.name in names}
        return {name: value for name, value in asdict(self).items() if plain.get(name, ...) != value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise UsageError(
                f"unknown training settings {printable(str(sorted(unknown)))}", do="Upgrade memcli to read them"
            )
        return cls(**data)
