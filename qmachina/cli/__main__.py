"""``python -m qmachina.cli``: the command without its script."""

from qmachina.cli.main import main

if __name__ == "__main__":
    main()
