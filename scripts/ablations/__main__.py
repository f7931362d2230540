"""`python -m ablations`, as scripts/ablation calls it."""

from ablations.command import main

if __name__ == "__main__":
    main()
