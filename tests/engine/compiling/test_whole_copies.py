"""Writes into expanded tensors: compiled, they are what they are uncompiled, on every version of torch."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from memcli.engine.compiling.backends import compiled, why_not_compiled
from memcli.engine.compiling.whole_copies import with_whole_copies
from memcli.seeds import generator

aten = torch.ops.aten
GIVEN = (torch.randn(3, 4, generator=generator(0, "written values")), torch.tensor([3, 1, 4]))

# zeros (5, 4), of one number in memory; values (3, 4); the rows (3,) that they go to
WRITES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "index_put": lambda zeros, values, rows: aten.index_put(zeros, [rows], values, True),
    "index_add": lambda zeros, values, rows: aten.index_add(zeros, 0, rows, values),
    "index_copy": lambda zeros, values, rows: aten.index_copy(zeros, 0, rows, values),
    "slice_scatter": lambda zeros, values, _: aten.slice_scatter(zeros, values, 0, 1, 4),
    "index_fill": lambda zeros, _, rows: aten.index_fill(zeros, 0, rows, 2.0),
    "scatter": lambda zeros, values, rows: aten.scatter(zeros, 0, rows[:, None].expand(3, 4), values),
    "scatter_add": lambda zeros, values, rows: aten.scatter_add(zeros, 0, rows[:, None].expand(3, 4), values),
    "scatter_reduce": lambda zeros, values, rows: aten.scatter_reduce(zeros, 0, rows[:, None], values, "amax"),
    "masked_scatter": lambda zeros, values, _: aten.masked_scatter(zeros, zeros == 1, values),
    "put": lambda zeros, values, rows: aten.put(zeros, rows, values[:, 0], True),
    "select_scatter": lambda zeros, values, _: aten.select_scatter(zeros, values[0], 0, 1),
    "diagonal_scatter": lambda zeros, values, _: aten.diagonal_scatter(zeros, values[0]),
}
COMPILED = ("index_put", "slice_scatter")  # on torch 2.11 both are wrong as they are recorded


def recorded(*names: str, whole: bool = False) -> GraphModule:
    """The writes of these names, each into expanded zeros, or into whole ones."""

    def written(values: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        zeros = torch.zeros(5, 4) if whole else torch.zeros(()).expand(5, 4)
        return tuple(WRITES[name](zeros, values, rows) for name in names)

    return make_fx(written)(*GIVEN)


def test_writes_are_the_same_compiled() -> None:
    if why_not_compiled(torch.device("cpu")):
        pytest.skip("no working compiler")
    operations = recorded(*COMPILED)
    wanted = operations(*GIVEN)
    for name, result, same in zip(COMPILED, compiled(deepcopy(operations), GIVEN)(*GIVEN), wanted, strict=True):
        torch.testing.assert_close(result, same, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", WRITES)
def test_a_write_into_an_expanded_tensor_is_one_into_a_copy(name: str) -> None:
    rewritten = with_whole_copies(recorded(name))
    (write,) = (node for node in rewritten.graph.nodes if str(node.target).startswith(f"aten.{name}."))
    assert write.args[0].target is aten.clone.default
    assert write.args[0].meta["val"].is_contiguous()


@pytest.mark.parametrize("name", WRITES)
def test_a_write_into_a_whole_tensor_stays_as_it_is(name: str) -> None:
    operations = recorded(name, whole=True)
    before = str(operations.graph)
    assert str(with_whole_copies(operations).graph) == before
