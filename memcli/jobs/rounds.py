"""Trials that several processes make together, in rounds: of those that come next, each makes one."""

import json
from collections.abc import Iterator, Sequence

from memcli.jobs.figures import Trial
from memcli.jobs.trials import Asked, Trainings
from memcli.progress import Notes
from memcli.ranks import Ranks
from memcli.seeds import derive


def in_rounds(
    work: Trainings, left: Sequence[tuple[Asked, int]], runs: int, seed: int, ranks: Ranks
) -> Iterator[tuple[str, Trial]]:
    """The trials that are `left`, each with its title, in their order; the same as one process makes alone.

    A training that diverges halves the rate of the later ones of its kind. So those that other processes have begun
    meanwhile, at the higher rate, are made again. Every process has all trials; the first one has its own sooner.
    """
    while left:
        mine = left[ranks.rank : ranks.rank + 1]
        said = ""
        for asked, run in mine:
            title = f"{asked}, run {run + 1} of {runs}"
            trial, is_halved = work.trial(asked, derive(seed, "evaluation run", run), title)
            notes = work.progress.taken() if ranks.rank and isinstance(work.progress, Notes) else []
            said = json.dumps([title, trial.to_json(), is_halved, notes])
            if ranks.rank == 0:
                yield title, trial
        made, halved = 0, set()
        for text in filter(None, ranks.all_said(said)):
            title, stored, is_halved, notes = json.loads(text)
            trial = Trial.from_json(stored)
            if trial.kind in halved:
                break
            halved |= {trial.kind} if is_halved else set()
            work.rates[trial.kind] = trial.lr
            for note in notes if ranks.rank == 0 else ():
                work.progress.note(note)
            if made or ranks.rank:
                yield title, trial
            made += 1
        left = left[made:]
