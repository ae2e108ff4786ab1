"""`python -m raydd` is the `raydd` command."""

from raydd.cli import main

if __name__ == "__main__":
    main()
