"""Every benchmark, one after the other, and a page with their tables: ``python -m benchmarks.all --write docs/benchmarks.md``.

Each runs as a program of its own with its defaults. In the page, what stands between ``<!-- table: NAME -->`` and ``<!-- end -->``
is replaced; a benchmark that failed leaves its old table there and is told at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

_MORE = {"small-far": ("small", "--rtt", "100")}
NAMES = ("bulk", "small", "small-far", "child", "latency", "append", "flash", "station", "idle", "master", "limits", "control")
"""Of the tables in the page; what is behind a dash is the same benchmark with other options."""


def command(name: str) -> tuple[str, ...]:
    """The module of a table, and its options."""
    return _MORE.get(name, (name,))


def replaced(page: str, name: str, table: str) -> str:
    """The page with another table of that name. ValueError where it has no place for one."""
    pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no '<!-- table: {name} -->' ... '<!-- end -->'")
    return pattern.sub(lambda found: f"{found[1]}\n{table.strip()}\n\n{found[2]}", page)


def as_section(text: str) -> str:
    """What a benchmark printed, for the page: its heading is there already, and the facts of the run join the list of notes."""
    text = re.sub(r"^## .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(date|command|machine|versions): ", r"- \1: ", text, flags=re.MULTILINE)
    return text.strip().replace("\n\n- date:", "\n- date:")


def main() -> int:
    """Run, write, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", metavar="FILE", help="the page whose tables are replaced; without it they are printed")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES, default=[], help="only this one (again for more)")
    parser.add_argument("--state", help="a word on the state of the product, put above each new table")
    parser.add_argument("options", nargs="*", help="behind --: options for each, such as --quick")
    args = parser.parse_args()
    failed = []
    for name in args.only or NAMES:
        module, *more = command(name)
        argv = [sys.executable, "-m", f"benchmarks.{module}", *more, *args.options]
        print(f"{shlex.join(argv[1:])} ...", file=sys.stderr, flush=True)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                said, _ = process.communicate()
            except KeyboardInterrupt:
                # It has had the same Ctrl-C, and tidies up.
                with contextlib.suppress(KeyboardInterrupt):
                    process.wait()
                return 130
        if process.returncode:
            failed.append(name)
        if not args.write:
            print(said)
        elif not process.returncode:
            page = Path(args.write)
            state = f"*{args.state}*\n\n" if args.state else ""
            page.write_text(replaced(page.read_text(), name, state + as_section(said)))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
