"""Plans of the shipped planner, greedy, against the right ones, word for word.

    python benchmarks/planner.py --split test --questions 300

The intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse

from bavt_minimal.models import load_model
from bavt_minimal.tasks.encyclopedia import SPLITS
from bavt_minimal.training.labels import SEEN_WORDINGS, UNSEEN_WORDINGS
from bavt_minimal.training.planner import evaluate_planner

CASES = {
    "unseen worlds": ("seen", SEEN_WORDINGS),
    "unseen pairs of relations": ("unseen", SEEN_WORDINGS),
    "unseen wording": ("any", UNSEEN_WORDINGS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=tuple(SPLITS))
    parser.add_argument("--questions", type=int, default=300, help="of each kind")
    parser.add_argument("--skip-worlds", type=int, default=0, help="leave out the first worlds of the split")
    parser.add_argument("--adapter", default="planner", help="a folder that `bavt train planner` wrote")
    args = parser.parse_args()
    model = load_model().with_adapter(args.adapter)
    for name, (pairs, wordings) in CASES.items():
        found = evaluate_planner(
            model, args.split, args.questions, pairs, wordings, say=lambda line: None, first=args.skip_worlds
        )
        low, high = found["interval"]
        print(f"{name}: {found['exact']:.3f} [{low:.3f}, {high:.3f}] of {found['questions']} {args.split} plans exact")
        print(f"  by hops (exact, asked): {found['by_hops']}; errors: {found['errors']}", flush=True)


if __name__ == "__main__":
    main()
