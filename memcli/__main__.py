"""`python -m memcli` and the console script `memcli`."""

import os
import signal
import sys
import warnings
from typing import Any


def main() -> None:
    """Run the command line. A plug-in that is left out is reported in one line, as other messages are."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported Ctrl-C has nothing to clear up
    from memcli.machine import share_cores
    from memcli.registry import PluginWarning

    share_cores(os.environ)

    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            sys.stderr.write(f"memcli: {message}\n")
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = show
    from memcli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
