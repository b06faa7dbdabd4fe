"""`python -m conformance` is `memconform`."""

from conformance.cli import main

if __name__ == "__main__":
    main()
