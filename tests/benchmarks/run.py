"""Measures, prints, and rewrites the tables of `docs/benchmarks.md`: `python tests/benchmarks/run.py [SECTION…]`.

With `--dry` nothing is written. Sections are the files `bench_<section>.py` of this folder.
"""

from __future__ import annotations

import argparse

import table


def main() -> None:
    """Measure the sections asked for, all of them by default."""
    known = table.sections()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", nargs="*", choices=[*known, []], help=", ".join(known))
    parser.add_argument("--dry", action="store_true", help="print the tables, write nothing")
    arguments = parser.parse_args()
    for section in arguments.section or known:
        text = table.markdown(table.measure(section))
        print(f"{section}: {table.machine()}\n\n{text}\n", flush=True)
        if not arguments.dry:
            table.write(section, f"Measured on {table.machine()}.\n\n{text}")


if __name__ == "__main__":
    main()
