"""The parts of bench_engine.py. Each file imports only from those above it:

- cell: what is measured, and what memcli's own methods stand for
- problem: what every method of a cell starts from
- methods: the methods, each from a problem to the same gradient
- gauges: what a process uses of the machine, and what the machine can do
- comparison: how far apart two gradients are
- serving: one cell, in its own process, which answers on stdout
- workers: many cells, their processes taking turns
- tables: tables and the plot
"""
