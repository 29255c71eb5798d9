"""Contenders that take turns, each in a process of its own: what a ratio of two speeds is measured with.

A machine is faster now and slower then; turns in one run cancel that. Processes of their own keep one contender's
memory allocator, threads and modules out of the other's way.
"""

import argparse
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

Step = Callable[[], object]

WARM_UP = 3  # steps that are not timed: memory is asked for in the first ones


@dataclass(frozen=True)
class Contender:
    """What makes a step, in the process that will take it: a function at module level and its arguments."""

    make: Callable[..., Step]
    arguments: Mapping[str, Any]


def contest(contenders: Mapping[str, Contender], rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds of each contender's steps: after some to warm up, one a round and contender, in turn."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, contender in contenders.items():
        pipes[name], other = context.Pipe()
        process = context.Process(target=_serve, args=(contender, threads, other), daemon=True)
        process.start()
        other.close()
        processes.append(process)
        pipes[name].recv()  # ready, and warm: others must not be timed beside it
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send("step")
            seconds[name].append(pipe.recv())
    for process in processes:
        process.terminate()
    return seconds


def _serve(contender: Contender, threads: int, pipe: Connection) -> None:
    import torch

    torch.set_num_threads(threads)
    step = contender.make(**contender.arguments)
    for _ in range(WARM_UP):
        step()
    pipe.send("ready")
    while True:
        pipe.recv()
        began = time.perf_counter()
        step()
        pipe.send(time.perf_counter() - began)


def ratio(seconds: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median of the ratios within each round: what slows a whole round down does not count."""
    return median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def row(seconds: Mapping[str, Sequence[float]], one: str, other: str) -> tuple[str, str, str]:
    """Two medians and their ratio, for a table."""
    return f"{median(seconds[one]):.2f}", f"{median(seconds[other]):.2f}", f"{ratio(seconds, one, other):.2f}"


def arguments(description: str | None, **defaults: Any) -> argparse.Namespace:
    """Rounds, threads and whatever a script adds as name=default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rounds": 7, "threads": os.cpu_count() or 1, **defaults}.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            parser.add_argument(option, nargs="*", type=type(value[0]), default=value)
        else:
            parser.add_argument(option, type=type(value), default=value)
    return parser.parse_args()


def machine(threads: int) -> str:
    """The hardware and versions under a table."""
    import torch

    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    today = datetime.now(UTC).date()
    return f"{today}, {model}, {threads} threads, torch {torch.__version__}, Python {platform.python_version()}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Markdown."""
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
