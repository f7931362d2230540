"""`python -m gossipnode`, the same as the installed `gossipnode`."""

from gossipnode.cli.main import main

if __name__ == "__main__":
    main()
