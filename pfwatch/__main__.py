"""`python -m pfwatch` is the command `pfwatch`."""

from pfwatch.cli import main

if __name__ == "__main__":
    main()
