"""Edits of what a file holds: every key and every tensor deleted, of another type, or with a value that cannot be."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

Json = dict[str, Any]
WRONG: tuple[Any, ...] = (None, "x", True, -1, 1e308, 2**70, [], {}, [None], {"x": []})


def of_json(data: Json, values: tuple[Any, ...] = WRONG) -> Iterator[tuple[str, Any, Json]]:
    """Each edit of `data`: the dotted key, the value that is there now (`...` where it is deleted), and the whole."""
    for path in _paths(data):
        for value in (..., *values):
            edited = deepcopy(data)
            place: Any = edited
            for key in path[:-1]:
                place = place[key]
            if value is ...:
                del place[path[-1]]
            elif value == place[path[-1]]:
                continue
            else:
                place[path[-1]] = deepcopy(value)
            yield ".".join(map(str, path)), value, edited


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key of nested objects, and of the first item of every list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _paths(each, (*path, key))


def of_tensors(tensors: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each edit of a set of tensors, with its name; none is one that a run could hold."""
    for name, tensor in tensors.items():
        rest = {key: value for key, value in tensors.items() if key != name}
        yield f"{name} deleted", rest
        yield f"{name} renamed", {**rest, f"{name}x": tensor}
        yield f"{name} longer", {**tensors, name: torch.cat([tensor.flatten(), tensor.flatten()[:1]])}
        yield f"{name} of another rank", {**tensors, name: tensor[None]}
        if tensor.is_floating_point():
            yield f"{name} as float16", {**tensors, name: tensor.half()}
            for value in (torch.nan, torch.inf, -1e30):
                edited = tensor.clone()
                edited.view(-1)[-1] = value
                yield f"{name} with {value}", {**tensors, name: edited}
        else:
            yield f"{name} as float32", {**tensors, name: tensor.float()}
            yield f"{name} huge", {**tensors, name: torch.full_like(tensor, 2**62)}
    yield "a strange one", {**tensors, "strange": torch.ones(1)}
