"""`python -m benchmarks`, as scripts/bench calls it."""

from benchmarks.command import main

if __name__ == "__main__":
    main()
