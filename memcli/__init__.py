"""memcli: compress a labelled image data set into addressable memories, and train networks from them.

The Python interface mirrors the command line: `memcli.distill.distill`, `memcli.recall.recall`,
`memcli.retrain.retrain`, `memcli.evaluate.evaluate`, and `memcli.artifact` to read and write memory files.
Nothing is imported here, so that `memcli --help` and `memcli inspect` start without torch.
"""

__version__ = "0.1.0"
