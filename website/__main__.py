"""`python -m website`: build the site. `make site` calls it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minivit.errors import MinivitError
from minivit.utils.console import EXIT_BAD_INPUT
from minivit.utils.text import printable

from .build import build_site


def main(arguments: list[str] | None = None) -> int:
    """Build the site, and return the exit status.

    Args:
        arguments: what follows `python -m website`. [default: the process's own]
    """
    parser = argparse.ArgumentParser(
        prog="python -m website", allow_abbrev=False,
        description="Build the whole site: pages of HTML that open from disk and need no network.",
    )  # fmt: skip
    parser.add_argument("--out", default="site", metavar="DIR", help="write the site to DIR [default: site]")
    options = parser.parse_args(arguments)
    try:
        print(f"written: {printable(build_site(Path(options.out)))}")
    except (MinivitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
