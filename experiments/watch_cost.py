"""CPU seconds that ``ganas watch`` takes a wall second, polled every two seconds while its run changes as often.

    python experiments/watch_cost.py RUN [--seconds 120] [--live]

RUN is a folder that may be changed: a line is added to its log.txt with each poll; with --live it is a run that goes
on, and nothing is added. The first page and the imports are not counted.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

POLL = 2  # seconds, as the page polls


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--live", action="store_true")
    arguments = parser.parse_args()
    command = [sys.executable, "-u", "-m", "ganas", "watch", str(arguments.run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address, version, polls, pages = server.stdout.readline().strip(), "", 0, 0
            print(f"first page and imports: {cpu_seconds(server.pid):.2f} CPU s")
            before, began = cpu_seconds(server.pid), time.monotonic()
            while time.monotonic() - began < arguments.seconds:
                if not arguments.live:
                    with (arguments.run / "log.txt").open("a") as log:
                        log.write("2026-01-01 00:00:00 a line\n")
                try:
                    request = urllib.request.Request(address, headers={"If-None-Match": version})
                    with urllib.request.urlopen(request) as answer:
                        answer.read()
                        version, pages = answer.headers["ETag"], pages + 1
                except urllib.error.HTTPError as error:
                    if error.code != 304:
                        raise
                polls += 1
                time.sleep(POLL)
            took, wall = cpu_seconds(server.pid) - before, time.monotonic() - began
        finally:  # else it would go on after an error, and be waited for
            server.terminate()
    print(f"{polls} polls, {pages} pages in {wall:.0f} s: {took:.2f} CPU s, {100 * took / wall:.2f} % of a core")


if __name__ == "__main__":
    main()
