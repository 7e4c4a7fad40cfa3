"""`python -m ancestral ...` is the command `ancestral ...`."""

from ancestral.commands.main import entry

if __name__ == "__main__":
    entry()
