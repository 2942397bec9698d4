"""The command line.

Its modules import nothing heavy: what a command needs is imported when it runs, so that `mlcore --help` is quick
whatever is installed.
"""

from mlcore.cli.app import main

__all__ = ["main"]
