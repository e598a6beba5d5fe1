"""Draw random states of the published bank anew on one device and another: the same texts, how far apart, how fast.

    OMP_NUM_THREADS=1 python benchmarks/device.py cuda cpu

The states come one by one, as in a search.
"""

import argparse
import random
import time

from bavt_minimal.benchmark.bank import Bank, redraw
from bavt_minimal.benchmark.recorded import BANK
from bavt_minimal.models import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="+", help="such as cpu, cuda, mps")
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    paths = sorted(BANK.glob("*.json.xz"))
    for device in args.devices:
        base = load_model(device=device)
        views = {"": base, **{role: base.with_adapter(role) for role in ("critic", "planner")}}
        redraw(Bank(paths[0]), views.__getitem__, random.Random(args.seed))  # the first is slow everywhere
        rng, began = random.Random(args.seed), time.perf_counter()
        found = [redraw(Bank(path), views.__getitem__, rng) for path in rng.choices(paths, k=args.states)]
        seconds = time.perf_counter() - began
        other = [difference.text for difference in found if difference.text]
        print(
            f"{device}: {len(found) - len(other)} of {len(found)} states with the same texts, log-probabilities at "
            f"most {max(difference.apart for difference in found):.5f} apart; {seconds:.1f} s"
        )
        for text in other:
            print(f"  {text}")


if __name__ == "__main__":
    main()
