"""``python -m feasibility``: the command line."""

from feasibility.cli import main

if __name__ == "__main__":
    main()
