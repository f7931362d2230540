"""`python -m conformance_suites`, as scripts/conformance calls it."""

from conformance_suites.command import main

if __name__ == "__main__":
    main()
