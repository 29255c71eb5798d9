"""Step times of two implementations side by side: medians, and the median of their ratios.

python benchmarks/step.py NAME [--resolutions 256] [--precisions float32 bf16] [--width 16] [--rounds 7] [--threads 2]
                               [--checkout DIR]

NAME       what is timed, and against what
handmade   a search step (layouts paper and framed) against a training step of the hand-made CycleGAN at width 64
naive      a search step with merged mixed ops against one that computes every op by itself
plain      a training step of the hand-made CycleGAN against a plain PyTorch implementation of it (steps.plain)
public     a search step of layout reference against the public CycleGANAS code (--checkout antaegun20/CycleGANAS)
compiled   a search and a training step with training.compile against the same in eager mode
zoo        a WGAN-GP step at the end of the ProgGAN route against pytorch_GAN_zoo's in float32 (--checkout; width 512)
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contest import Contender, contest, machine, print_table, row
from steps import grown, ours, plain, public, zoo

HANDMADE_WIDTH = 64  # of the CycleGAN as published

Options = Mapping[str, Any]  # resolution and precision
Group = Mapping[str, Contender]  # timed in turns; the last one is what the others are compared with


def train_step(width: float, options: Options) -> Contender:
    """A training step of the hand-made CycleGAN."""
    return Contender(ours, {**options, "kind": "train", "layout": "resnet9", "width": width})


def search_step(layout: str, width: float, options: Options, *settings: str) -> Contender:
    """A search step."""
    return Contender(ours, {**options, "kind": "search", "layout": layout, "width": width, "settings": tuple(settings)})


def handmade(width: float, options: Options, checkout: str) -> list[Group]:
    searches = {f"search {layout}": search_step(layout, width, options) for layout in ("paper", "framed")}
    return [searches | {"training": train_step(HANDMADE_WIDTH, options)}]


def naive(width: float, options: Options, checkout: str) -> list[Group]:
    return [
        {
            f"{layout} {mixing}": search_step(layout, width, options, f"nets.mixing={mixing}")
            for mixing in ("merged", "naive")
        }
        for layout in ("paper", "framed", "reference")
    ]


def against_plain(width: float, options: Options, checkout: str) -> list[Group]:
    return [{"ours": train_step(width, options), "plain": Contender(plain, {**options, "width": round(width)})}]


def against_public(width: float, options: Options, checkout: str) -> list[Group]:
    theirs = Contender(public, {**options, "width": round(width), "checkout": checkout})
    return [{"ours": search_step("reference", width, options, "search.sampling=gumbel"), "public": theirs}]


def compiled(width: float, options: Options, checkout: str) -> list[Group]:
    eager = {"search": search_step("paper", width, options), "training": train_step(HANDMADE_WIDTH, options)}
    setting = {"settings": ("training.compile=true",)}
    return [
        {f"{name} compiled": Contender(one.make, {**one.arguments, **setting}), f"{name} eager": one}
        for name, one in eager.items()
    ]


def against_zoo(width: float, options: Options, checkout: str) -> list[Group]:
    channels = {**options, "channels": round(width)}
    theirs = Contender(zoo, {**channels, "precision": "float32", "checkout": checkout})
    return [{"ours": Contender(grown, channels), "zoo float32": theirs}]


@dataclass(frozen=True)
class Contest:
    """A line of CONTESTS: which steps, and the defaults of its options."""

    groups: Callable[[float, Options, str], list[Group]]  # width, options, checkout
    width: float = 16
    resolutions: tuple[int, ...] = (256,)


CONTESTS = {
    "handmade": Contest(handmade, resolutions=(256, 64)),
    "naive": Contest(naive),
    "plain": Contest(against_plain, width=HANDMADE_WIDTH),
    "public": Contest(against_public),
    "compiled": Contest(compiled, resolutions=(64, 256)),
    "zoo": Contest(against_zoo, width=512, resolutions=(32,)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTESTS)
    parser.add_argument("--resolutions", nargs="*", type=int)
    parser.add_argument("--precisions", nargs="*", default=["float32", "bf16"])
    parser.add_argument("--width", type=float)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--checkout", default=".", help="the other implementation's repository")
    given = parser.parse_args()
    chosen = CONTESTS[given.name]
    width = given.width or chosen.width
    rows = []
    for resolution in given.resolutions or chosen.resolutions:
        for precision in given.precisions:
            options = {"resolution": resolution, "precision": precision}
            for group in chosen.groups(width, options, given.checkout):
                seconds = contest(group, given.rounds, given.threads)
                *others, baseline = group
                rows += [
                    (f"{resolution}²", precision, name, baseline, *row(seconds, name, baseline)) for name in others
                ]
    print_table(("size", "precision", "step", "against", "step, s", "against, s", "ratio"), rows)
    print(f"\nwidth {width:g}; {machine(given.threads)}")


if __name__ == "__main__":
    main()
