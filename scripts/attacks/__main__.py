"""`python -m attacks`, as scripts/hostile calls it."""

from attacks.command import main

if __name__ == "__main__":
    main()
