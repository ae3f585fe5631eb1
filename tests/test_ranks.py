"""Ranks: what they add up, what they agree on, and what becomes of one that is lost or asked to stop."""

import os
import signal
from typing import Any

import pytest
import torch
from together import together
from torch import distributed

from memcli import ranks
from memcli.errors import Interrupted
from memcli.progress import Silent
from memcli.ranks import ALONE
from memcli.stopping import Stopped, stoppable, whole

STOPPED_BY, STOPPED_AT = 1, 4


def test_a_program_that_runs_alone_is_the_only_rank() -> None:
    given = {"a": torch.ones(2)}
    assert ranks.joined() is ALONE
    assert (ALONE.rank, ALONE.size, list(ALONE.own(3))) == (0, 1, [0, 1, 2])
    assert ALONE.summed(given) == ALONE.first(given) == ALONE.collected(given) == given
    assert (ALONE.said("alone"), ALONE.all_said("alone")) == ("alone", ["alone"])
    assert (ALONE.all_agree(True), ALONE.all_agree(False)) == (True, False)
    assert ALONE.agreed(1.5, 2.5) == (1.5, 2.5)


def exchanged(rank: int) -> dict[str, Any]:
    """One message of each kind."""
    group = ranks.joined()
    return {
        "summed": group.summed({"a": torch.full((2, 2), 1.0 + rank), "b": torch.tensor(10.0 * rank)}),
        "first": group.first({"a": torch.full((rank + 1,), 7.0 + rank)}),
        "collected": group.collected({f"{rank}": torch.tensor([rank])}),
        "said": group.said("zero" if rank == 0 else "another"),
        "all said": group.all_said("x" * rank),
        "is first": group.is_first_of(f"machine {rank // 2}"),
        "all agree": [group.all_agree(True), group.all_agree(rank != 1)],
        "agreed": group.agreed(0.5 + rank, 3.0),
        "own": list(group.own(5)),
    }


def test_all_ranks_have_the_sums_and_what_the_first_has() -> None:
    found = together(3, exchanged)
    for rank, one in enumerate(found):
        torch.testing.assert_close(one["summed"], {"a": torch.full((2, 2), 6.0), "b": torch.tensor(30.0)})
        assert one["first"]["a"].tolist() == [7.0]
        assert one["said"] == "zero"
        assert one["all said"] == ["", "x", "xx"]
        assert one["all agree"] == [True, False]
        assert one["is first"] == (rank != 1)
        assert one["agreed"] == (0.5, 3.0)
        assert one["own"] == list(range(rank, 5, 3))
    assert {name: part.tolist() for name, part in found[0]["collected"].items()} == {"0": [0], "1": [1], "2": [2]}
    assert found[1]["collected"].keys() == {"1"}


def stopped_and_lost(rank: int) -> dict[str, Any]:
    """The step at which a rank stops when one of them is asked to; and what it is told when one has ended."""
    group = ranks.joined()
    step = 0
    try:
        with stoppable(Silent()), whole():
            while step < 100:
                group.agreed()
                if (rank, step) == (STOPPED_BY, STOPPED_AT):
                    os.kill(os.getpid(), signal.SIGTERM)
                step += 1
    except Stopped:
        pass
    if rank == STOPPED_BY:
        distributed.destroy_process_group()
        return {"step": step, "told": ""}
    with pytest.raises(Interrupted) as caught:
        group.summed({"a": torch.ones(1)})
    return {"step": step, "told": str(caught.value)}


def test_a_signal_to_one_rank_stops_all_at_the_same_step_and_one_that_ends_interrupts_the_others() -> None:
    first, second = together(2, stopped_and_lost)
    assert first["step"] == second["step"] == STOPPED_AT + 1
    assert first["told"] == "another process of the run has ended. Give the same command again to continue."
