"""`python -m load --base-url URL --api NAME --api-key K`: what `memconform load` does."""

from __future__ import annotations

import sys

from conformance.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["load"]
    main()
