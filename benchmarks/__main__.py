"""``python -m benchmarks [ticks simulator ...]``: all of them when none is named."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from benchmarks import machine, orders, simulator, ticks

BENCHMARKS: Mapping[str, Callable[[int], None]] = {"ticks": ticks.run, "orders": orders.run, "simulator": simulator.run}
LEAST_ROUNDS = 7


def main() -> None:
    """Runs the named benchmarks and prints their figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which ones")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="interleaved rounds (default 7)")
    options = parser.parse_args()
    print("\n".join(machine.describe()))
    for name in options.names or BENCHMARKS:
        print(f"\n== {name}")
        BENCHMARKS[name](options.rounds)


if __name__ == "__main__":
    main()
