"""Only a missing compiler is answered with the advice to install one; a bug of ours is shown as it is."""

import copyreg
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._inductor import exc
from torch.fx import GraphModule, symbolic_trace

from memcli.engine.compiling import backends
from memcli.errors import UsageError

CPU = torch.device("cpu")
ADVICE = r"cannot be compiled on this machine: .*\. Install a C\+\+ compiler such as g\+\+, or do without `compile`\."


def sum_of_one_and(x: torch.Tensor) -> tuple[torch.Tensor]:
    return (x + 1,)


def compile_a_sum() -> None:
    backends.compiled(symbolic_trace(sum_of_one_and), (torch.zeros(2),))


def test_a_bug_in_the_rewriting_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: GraphModule) -> GraphModule:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(backends, "with_image_gradients", broken)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        compile_a_sum()
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        backends.why_not_compiled(CPU)


def test_operations_that_inductor_cannot_lower_are_no_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(operations: GraphModule) -> GraphModule:
        for node in operations.graph.nodes:
            if node.op == "call_function":
                node.args = (*node.args, "no number")
        operations.recompile()
        return operations

    monkeypatch.setattr(backends, "with_image_gradients", spoilt)
    with pytest.raises(Exception, match=r"no number|argument") as raised:
        compile_a_sum()
    assert not isinstance(raised.value, UsageError)


WITHOUT_COMPILER = """
import torch
from torch.fx import symbolic_trace
from memcli.engine.compiling.backends import compiled, why_not_compiled
from memcli.errors import UsageError
try:
    compiled(symbolic_trace(lambda x: (x + 1,)), (torch.zeros(2),))
except UsageError as error:
    print(error)
print(why_not_compiled(torch.device("cpu")))
"""


@pytest.mark.parametrize("compiler", ["missing", "fails"])
def test_without_a_working_compiler_the_advice_is_to_install_one(compiler: str, tmp_path: Path) -> None:
    path = tmp_path / compiler
    if compiler == "fails":  # it answers which compiler it is, as a healthy one does, and then compiles nothing
        path.write_text('#!/bin/sh\ncase "$1" in *-v*) echo "g++ (GCC) 13.2.0"; exit 0;; esac\nexit 3\n')
        path.chmod(0o755)
    # A process of its own: torch looks for the compiler once.
    environment = os.environ | {"CXX": str(path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, env=environment, check=True
    )
    message, why = done.stdout.splitlines()
    assert re.search(ADVICE, message)
    assert message.startswith(why + ". ")


@pytest.mark.parametrize(
    "inner",
    [
        exc.InvalidCxxCompiler(),
        exc.CppCompileError(["g++"], "no"),
        exc.TritonMissing(None),
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable."),
    ],
)
def test_inductor_wraps_what_says_so(inner: Exception) -> None:
    assert backends._compiler_failure(exc.InductorError(inner, None)) is not None


@pytest.mark.parametrize("inner", [ZeroDivisionError("oh"), exc.CppWrapperCodegenError("oh"), MemoryError()])
def test_inductor_wraps_other_failures_too(inner: Exception) -> None:
    assert backends._compiler_failure(exc.InductorError(inner, None)) is None


def test_a_memory_format_has_the_same_name_in_every_program_while_steps_are_compiled() -> None:
    """Its pickle names the first module that has a `torch`, and the key of compiled code is a hash of pickles."""
    before = copyreg.dispatch_table.copy()
    with backends._equal_keys():
        pickled = pickle.dumps(torch.channels_last)
    assert b"torch:channels_last" in pickled
    assert b"torch._utils" not in pickled
    assert pickle.loads(pickled) is torch.channels_last
    assert copyreg.dispatch_table == before
