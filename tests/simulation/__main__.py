"""Runs seeds, or takes guards out and counts the seeds until it is noticed.

python -m tests.simulation --seed N          run one, and print all that happened
python -m tests.simulation --seeds A..B      run many, on every core
python -m tests.simulation --guards [NAME]   take each guard of the protocol out (whose name matches), and count the seeds
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.guards import show
from tests.simulation.runs import Outcome, run, run_many

CHUNK = 20


def replay(seed: int) -> int:
    """Print what happens in a seed."""
    outcome = run(seed, tracing=True)
    print("\n".join(outcome.lines))
    print(outcome.violation or "nothing is wrong")
    return int(outcome.violation is not None)


def outcomes(first: int, last: int, jobs: int) -> Iterator[Outcome]:
    """Run the seeds in as many processes."""
    ranges = [range(at, min(at + CHUNK, last)) for at in range(first, last, CHUNK)]
    with ProcessPoolExecutor(jobs) as processes:
        for some in processes.map(run_many, ranges):
            yield from some


def many(first: int, last: int, jobs: int) -> int:
    """Run seeds from *first* up to *last*, name those that found something, and print the trace of the first of them."""
    began, bad, steps, seconds = time.perf_counter(), [], 0, 0.0
    for outcome in outcomes(first, last, jobs):
        steps += outcome.steps
        seconds += outcome.cpu_seconds
        if outcome.violation:
            bad.append(outcome.seed)
            print(f"seed {outcome.seed}: {outcome.violation}", flush=True)
    took = time.perf_counter() - began
    print(f"{last - first} seeds, {len(bad)} of them found something; {steps} steps in {took:.0f} s ({seconds:.0f} s of CPU)")
    return replay(bad[0]) if bad else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed, and print its trace")
    parser.add_argument("--seeds", default="0..500", help="run from A up to B (A..B)")
    parser.add_argument("--guards", nargs="?", const="", help="take each guard out in whose name this pattern is found")
    parser.add_argument("--most", type=int, default=3000, help="seeds to try without a guard")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run at once")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    if options.guards is not None:
        show(options.guards, options.most, options.jobs)
        return 0
    first, _, last = options.seeds.partition("..")
    return many(int(first), int(last), options.jobs)


if __name__ == "__main__":
    sys.exit(main())
