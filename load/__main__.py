"""`python -m load --base-url URL --api NAME --api-key K --load-profile smoke`."""

from __future__ import annotations

import argparse
import os
import sys

from load.profile import ProfileError, names
from load.result import exit_code, sentences
from load.runner import LoadError, run
from specs import SpecError


def main(arguments: list[str] | None = None) -> int:
    """Run a profile, print what broke, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load", description="a judged load run")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--api-key", action="append", default=[])
    parser.add_argument("--load-profile", default="smoke", help=f"one of {', '.join(names())}")
    parser.add_argument("--out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--against", help="an earlier results.json to compare with")
    parser.add_argument("--quota", help="REQUESTS/SECONDS of the limit, where no header tells it")
    parser.add_argument("--seconds", type=float, help="shorten the profile to about so long")
    given = parser.parse_args(arguments)
    keys = given.api_key or [k for k in os.environ.get("MEMCONFORM_API_KEYS", "").split(",") if k]
    try:
        entry = run(
            given.base_url, given.api, keys, given.load_profile, given.out, given.seed,
            given.processes, against=given.against, quota=given.quota, seconds=given.seconds,
        )  # fmt: skip
    except (ProfileError, SpecError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is the command line
        return 2
    except LoadError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.code if error.code in (2, 3) else 3
    for line in sentences(entry):
        print(line)  # noqa: T201
    print(f"{entry.api}: {entry.verdict}; {entry.details['line']}")  # noqa: T201
    return exit_code(entry)


if __name__ == "__main__":
    sys.exit(main())
