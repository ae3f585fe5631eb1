"""What memcli is tried with: hostile files, kills, faults, commands that are repeated. Each part is a file in torture/.

    python examples/benchmarks/torture.py --list
    python examples/benchmarks/torture.py --keep torture.jsonl kills faults
    python examples/benchmarks/torture.py --keep torture.jsonl --minutes 10

Cases that `--keep` holds already are not tried again, so that the same command goes on where it was stopped; those that
failed are, with --again. The table at the end is that of docs/reliability.md. It needs a clone with its tests.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "attacks")]

from torture import PARTS, Cases, Enough, kept, part, table  # noqa: E402 - it uses those folders


def main() -> int:
    """Try the parts that are asked for, and print the table of all that is kept; 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all")
    parser.add_argument("--list", action="store_true", help="tell what the parts try, and leave")
    parser.add_argument("--keep", type=Path, default=Path("torture.jsonl"), help="where results are appended")
    parser.add_argument("--only", default="", help="try only cases whose name holds this")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no case after this time")
    parser.add_argument("--again", action="store_true", help="try those again that failed")
    given = parser.parse_args()
    if unknown := sorted(set(given.parts) - set(PARTS)):
        parser.error(f"there is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    if given.list:
        print("\n".join(f"{name:12} {(part(name).__doc__ or '').splitlines()[0]}" for name in PARTS))
        return 0
    ends = time.monotonic() + 60 * given.minutes
    for name in given.parts or PARTS:
        try:
            part(name).run(Cases(name, given.keep, only=given.only, ends=ends, again=given.again))
        except Enough:
            print(f"{name}: the time is over; the same command goes on")
            break
    results = [result for result in kept(given.keep) if result["part"] in PARTS]
    print(table(results))
    return 1 if any(not result["right"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
