"""memcli: compress a labelled image data set into addressable memories, and train networks from them.

The Python interface mirrors the command line: `memcli.distillation.loop.distill`, `memcli.jobs.recall.recall`,
`memcli.jobs.retrain.retrain`, `memcli.jobs.evaluate.evaluate`, and `memcli.artifact` to read and write memory files.
Nothing is imported here, so that `memcli --help` and `memcli inspect` start without torch.
"""

__version__ = "0.1.0"
