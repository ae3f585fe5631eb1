"""What can be done with a recorded list of operations before it is run many times: nothing, compile it, capture it."""

import copyreg
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pkgutil import resolve_name

import torch
from torch import Tensor
from torch.fx import GraphModule, symbolic_trace
from torch.utils._pytree import tree_leaves

from memcli.engine.compiling.image_gradient import with_image_gradients
from memcli.engine.compiling.whole_copies import with_whole_copies
from memcli.engine.tensors import Tensors
from memcli.errors import UsageError
from memcli.text import printable

Runner = Callable[..., Tensors]  # tensors like the example -> the outputs
Backend = Callable[[GraphModule, Tensors], Runner]  # operations, and tensors that they were recorded on

_INSTALL = "Install a C++ compiler such as g++"
_KEEP = "Set TORCHINDUCTOR_CACHE_DIR to a folder that can be written and has room"


def replayed(operations: GraphModule, example: Tensors) -> Runner:
    """The same operations one by one: the same numbers, without autograd's own bookkeeping."""
    del example
    return operations


def compiled(operations: GraphModule, example: Tensors) -> Runner:
    """Norms, activations, pools and their derivatives fused into one pass over memory each, by TorchInductor.

    Takes five to twenty seconds, or one where this machine has compiled the same before. The numbers are those of
    `replayed` to rounding, and the same in every run on one machine. Raises UsageError where the machine has no
    working compiler (for a CPU a C++ compiler, for CUDA Triton), or no folder to keep in what was compiled.
    """
    # Imported here, since it takes half a second.
    from torch._inductor import compile as inductor
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    # Inductor reads its cache only where the example tensors have a ShapeEnv.
    shapes = FakeTensorMode(shape_env=ShapeEnv())
    with _quietly(), _deterministic(), _equal_keys(), torch.no_grad():
        operations = with_whole_copies(operations)
        if all(tensor.device.type == "cpu" for tensor in example):
            operations = with_image_gradients(operations)
        try:
            run: Callable[..., object] = inductor(
                operations, [shapes.from_tensor(tensor, static_shapes=True) for tensor in example]
            )
            run(*example)
        except Exception as error:
            if (missing := _compiler_failure(error)) is None:
                raise
            reason = printable(str(missing).strip().splitlines()[0])
            raise UsageError(
                f"the training step cannot be compiled on this machine: {reason}",
                do=f"{_KEEP if isinstance(missing, OSError) else _INSTALL}, or do without `compile`",
            ) from error
    return lambda *tensors: tuple(run(*tensors))  # type: ignore[arg-type]


def captured(operations: GraphModule, example: Tensors, backend: Backend = compiled) -> Runner:
    """What `backend` makes, captured as a CUDA graph: one launch for all kernels. Raises UsageError off CUDA.

    Inputs are copied to where the graph reads them, and outputs from where the next replay would write over them.
    Launched one by one, the kernels of a small network take longer to launch than to run (docs/log/).
    """
    if not all(tensor.is_cuda for tensor in example):
        raise UsageError("only steps on a CUDA device can be captured", do="Choose a CUDA device, or compile only")
    run = backend(operations, example)
    inputs = [tensor.clone() for tensor in example]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):  # a capture needs a warm-up on a stream of its own
        for _ in range(3):
            run(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        outputs = run(*inputs)

    def replay(*tensors: Tensor) -> Tensors:
        _copy(inputs, tensors)
        graph.replay()
        results = tuple(map(torch.empty_like, outputs))
        _copy(results, outputs)
        return results

    return replay


def captured_or_replayed(operations: GraphModule, example: Tensors) -> Runner:
    """Captured without being compiled, which takes a second; replayed where a tensor lies outside of CUDA, since no
    capture can hold a copy from or to another device.
    """
    if not all(device.type == "cuda" for device in _devices(operations)):
        return replayed(operations, example)
    return captured(operations, example, replayed)


def quickest(device: torch.device, compile: bool) -> Backend:
    """The backend that runs steps recorded on `device` the quickest, with `compile` or without; on CUDA it captures."""
    if device.type == "cuda":
        return captured if compile else captured_or_replayed
    return compiled if compile else replayed


def why_not_compiled(device: torch.device) -> str | None:
    """Why nothing can be compiled for `device`, found by compiling an addition; None where it can."""
    try:
        compiled(symbolic_trace(lambda x: (x + 1,)), (torch.zeros(2, device=device),))
    except UsageError as error:
        return error.what
    return None


def _devices(operations: GraphModule) -> set[torch.device]:
    """Of all tensors that the operations read or make."""
    constants = [getattr(operations, node.target) for node in operations.graph.nodes if node.op == "get_attr"]
    results = [node.meta.get("val") for node in operations.graph.nodes]
    return {each.device for each in tree_leaves([constants, results]) if isinstance(each, Tensor)}


def _compiler_failure(error: BaseException) -> BaseException | None:
    """The error, of `error` and its causes, that says that no compiler works here; None where none does: a bug of ours.

    An error of the system is such a one: the folder of compiled steps cannot be written, or its disk is full.

    Inductor wraps an error in one of its own. Triton has no class of errors for a missing C compiler.
    """
    from torch._inductor import exc

    kinds = (OSError, exc.InvalidCxxCompiler, exc.CppCompileError, exc.TritonMissing, exc.GPUTooOldForTriton)
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        inner = getattr(cause, "inner_exception", cause)
        for each in (inner, cause):
            if isinstance(each, kinds) or "Failed to find C compiler" in str(each):
                return each
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _copy(places: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    """Copy each of the `tensors` to its place, all of one type by one kernel."""
    for dtype in {place.dtype for place in places}:
        chosen = [number for number, place in enumerate(places) if place.dtype == dtype]
        torch._foreach_copy_([places[number] for number in chosen], [tensors[number] for number in chosen])


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the compiler's warnings: they are about its own code, or about a CUDA that nobody asked for."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


@contextmanager
def _deterministic() -> Iterator[None]:
    """Let the compiler use deterministic operations: sums in the same order every time."""
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


@contextmanager
def _equal_keys() -> Iterator[None]:
    """Let equal operations have equal keys in the folder of compiled code, in whichever program they are compiled.

    The key is a hash of a pickle. A memory format is pickled as "torch.contiguous_format" of the first module that has
    a `torch`, which is another one in each program.
    """
    before = copyreg.dispatch_table.get(torch.memory_format)
    copyreg.pickle(torch.memory_format, _named)  # type: ignore[arg-type]
    try:
        yield
    finally:
        del copyreg.dispatch_table[torch.memory_format]
        if before is not None:
            copyreg.dispatch_table[torch.memory_format] = before


def _named(memory_format: torch.memory_format) -> tuple[Callable[[str], object], tuple[str]]:
    return resolve_name, (str(memory_format).replace(".", ":"),)
