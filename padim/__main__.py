"""Run the command line with ``python -m padim``."""

from padim.cli import main

if __name__ == "__main__":
    main()
