"""Measure what a recipe costs in a process of its own. No torch here."""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir
from multiprocessing import get_context
from typing import Any

from ganas.errors import GanasError


def in_subprocess(describe: Callable[..., list[str]], *arguments: Any) -> list[str]:
    """Call a function in a subprocess: a driver runs for days and would never free the memory of measuring."""
    # chdir, because a spawned process would import modules from the current folder; it changes back to it by itself
    with chdir(sys.prefix), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(describe, *arguments).result()
        except BrokenProcessPool:
            raise GanasError(
                "the process that measures a step of each job died, perhaps out of memory: free some and try again"
            ) from None
