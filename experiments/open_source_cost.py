"""Seconds and memory of opening a set of images: `open_source` and its digest, as a run does before its first step.

    python experiments/open_source_cost.py SET [--make-zip COUNT]

prints wall and CPU seconds, what stays of memory, and by how much its peak rose, both without imports. ``--make-zip``
first makes SET as a zip of COUNT tiny PNGs.
"""

import argparse
import gc
import io
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ganas.data.sources import open_source

FOLDER = 10_000  # images in each folder of the zip


def make_zip(path: Path, count: int) -> None:
    """Write a zip of `count` PNGs of 8×8 noise."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    encoded = []
    for pixels in noise:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number // FOLDER:03d}/{number:08d}.png", encoded[number % len(encoded)])


def resident() -> float:
    """MiB of memory that this process holds now, without pages of files."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def peak() -> float:
    """MiB of memory that this process has held at most, with pages of files such as libraries."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--make-zip", type=int, metavar="COUNT")
    arguments = parser.parse_args()
    if arguments.make_zip:
        return make_zip(arguments.set, arguments.make_zip)
    before, peak_before, wall, cpu = resident(), peak(), time.monotonic(), time.process_time()
    source = open_source(arguments.set)
    digest = source.digest()
    seconds = f"{time.monotonic() - wall:.1f} s, {time.process_time() - cpu:.1f} CPU s"
    gc.collect()
    memory = f"{resident() - before:.0f} MiB stay, {peak() - peak_before:.0f} MiB peak"
    print(f"{len(source):,} images, {digest}: {seconds}, {memory}")


if __name__ == "__main__":
    main()
