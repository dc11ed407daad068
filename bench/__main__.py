"""Run the benches: `python -m bench --help`."""

from __future__ import annotations

import argparse

from bench import recording, scenarios
from bench.report import Figure, as_json, table
from bench.rounds import Options
from bench.servers import provided


def main() -> None:
    """Measure; print a table, and on the last line one JSON object."""
    arguments = _parser().parse_args()
    options = Options(rounds=arguments.rounds, events=arguments.events, quick=arguments.quick)
    figures = _measure(arguments.only or scenarios.NAMES, options, keep=arguments.record)
    print(f"\n{table(figures)}\n\n{as_json(figures)}", flush=True)
    if arguments.strict and any(figure.missed for figure in figures):
        raise SystemExit(1)


def _measure(names: list[str] | tuple[str, ...], options: Options, *, keep: bool) -> list[Figure]:
    figures: list[Figure] = []
    with provided() as servers:
        for name in names:
            print(f"{name}", flush=True)
            found = scenarios.load(name)(servers, options)
            if keep:
                recording.record(name, found)
            figures += found
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the outbox on a real database and broker: those of DATABASE_URL and "
        "KAFKA_BOOTSTRAP_SERVERS, where it makes a database and topics of its own, or embedded ones.",
    )
    parser.add_argument("--only", nargs="+", choices=scenarios.NAMES, metavar="SCENARIO", help=_names())
    parser.add_argument("--rounds", type=int, default=5, help="how often each number is measured (default 5)")
    parser.add_argument("--events", type=int, default=100_000, help="backlog of a drain (default 100,000)")
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it runs, not more")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when something that is asked is missed")
    parser.add_argument("--record", action="store_true", help="keep what was found for the README's table")
    return parser


def _names() -> str:
    return f"one or more of {', '.join(scenarios.NAMES)}"


if __name__ == "__main__":
    main()
