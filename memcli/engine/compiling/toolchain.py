"""What the compiler of training steps needs of the machine, looked up without compiling anything."""

import os


def cpp_compiler() -> str | None:
    """The C++ compiler that steps on a CPU would be compiled with; None where there is none."""
    from torch._inductor import exc
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return get_cpp_compiler()
    except (exc.InvalidCxxCompiler, RuntimeError, OSError):  # the second is Windows's
        return None


def compiled_code() -> tuple[str, bool]:
    """The folder that compiled steps are kept in, and whether it can be written. It is made where it is missing."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        folder = cache_dir()
    except OSError as error:
        return str(error.filename), False
    return folder, os.access(folder, os.W_OK)
