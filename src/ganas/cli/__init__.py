"""The command line: parse, call, print. Commands are listed in the order of these imports."""

from ganas.cli import cyclegan, growing, measuring, reporting, reproducing
from ganas.cli.boundary import main, run
from ganas.cli.options import app

__all__ = ["app", "cyclegan", "growing", "main", "measuring", "reporting", "reproducing", "run"]
