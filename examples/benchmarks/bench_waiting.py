"""How threads of torch should wait for each other: training steps a second by policy, alone and on a busy machine.

    python examples/benchmarks/bench_waiting.py --busy 0 2 6

Where a step has several threads, those that are done wait for the others. By default they spin, which is quick where
each has a core of its own, and takes the cores from those that are still working where others want them too. Each
policy trains ConvNet-3 in a process of its own, one after the other, round after round, beside so many processes that
do nothing but keep a core busy. The medians of all rounds are printed, and each as a ratio to one thread alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

POLICIES = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "spinning (OpenMP's default)": {},
    "a short spin (GOMP_SPINCOUNT=1000)": {"GOMP_SPINCOUNT": "1000"},
    "sleeping (OMP_WAIT_POLICY=PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
}
OWN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2], help="processes beside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of training, for each policy in each round")
    parser.add_argument("--width", type=int, default=32, help="of ConvNet-3, on 20 images of 28x28")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(rate(given.seconds, given.width))
        return
    print("| beside | threads wait by | steps a second | ratio |\n| ---: | --- | ---: | ---: |")
    for busy in given.busy:
        beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            rates: dict[str, list[float]] = {name: [] for name in POLICIES}
            for _ in range(given.rounds):
                for name, settings in POLICIES.items():
                    rates[name].append(measured(settings, given.seconds, given.width))
        finally:
            for process in beside:
                process.kill()
                process.wait()
        medians = {name: statistics.median(values) for name, values in rates.items()}
        for name, median in medians.items():
            print(f"| {busy} | {name} | {median:.1f} | {median / medians['1 thread']:.2f} |", flush=True)


def measured(settings: dict[str, str], seconds: float, width: int) -> float:
    """Steps a second in a process with these settings of OpenMP and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN} | settings
    command = [sys.executable, __file__, "--one", "--seconds", str(seconds), "--width", str(width)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def rate(seconds: float, width: int) -> float:
    """Steps a second of plain training, after five that are not counted."""
    import torch

    from memcli import networks
    from memcli.data.spec import DataSpec

    data = DataSpec("benchmark", 1, 28, 28, tuple("0123456789"), (0.0,), (1.0,))
    network = networks.build(f"convnet:width={width}", data, seed=0)
    images, labels = torch.randn(20, *data.shape), torch.arange(20) % 10
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    steps, began = -5, time.perf_counter()
    while steps <= 0 or time.perf_counter() - began < seconds:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
        steps += 1
        if steps == 0:
            began = time.perf_counter()
    return steps / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
