"""What the pages of `ganas search` and `ganas train` have in common: sizes, the diagram, sample grids. No torch."""

import shlex
from collections.abc import Sequence
from math import log2

from PIL import Image

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import GENERATORS, find_layout
from ganas.cyclegan.size import generator_sizes, output_sides, slot_macs, slot_parameters
from ganas.records import RunRecord, Sample
from ganas.report.blocks import Block, Diagram, Frame, Gallery, Pair, Step, Strip, Table, Timeline, Wipe
from ganas.report.charts import network_name
from ganas.report.thumbnails import GAP, data_uri, frames, readable, thinned, tiles

ROWS = ("A", "A→B", "A→B→A", "B", "B→A", "B→A→B")  # of a sample grid (`ganas.cyclegan.trainer`)
TILE, LARGE = 96, 256  # sides in pixels of pictures in grids, and of those that are looked at alone
FAMILIES = ("convolution", "dilated", "pooling", "upsampling", "fixed")

STEP, GAP_X, TOP, TALL = 40.0, 6.0, 46.0, 26.0  # of a diagram, in pixels


def family(op: str, searched: bool) -> str:
    """The family of an op, which has a color."""
    if not searched:
        return "fixed"
    if op.startswith("dilconv"):
        return "dilated"
    if op.endswith("pool"):
        return "pooling"
    return "upsampling" if op in ("nearest", "bilinear", "deconv3") else "convolution"


def short_op(op: str) -> str:
    """An op's name that fits into a box of a diagram."""
    return op.replace("dilconv", "dil").replace("maxpool", "max").replace("avgpool", "avg").replace("bilinear", "bilin")


def diagram(architecture: Architecture, config: RunConfig) -> Diagram:
    """Draw both generators slot under slot: boxes are as tall as their output has pixels."""
    layout = find_layout(architecture.layout).generator
    resolution = config.data.resolution
    finals = [layout.final(architecture.ops(name)) for name in GENERATORS]
    by_name = [{slot.name: slot.ops[0] for slot in final.slots} for final in finals]
    searched = {slot.name for slot in layout.searched}
    depth = max(log2(resolution / side) for final in finals for side in output_sides(final, resolution) if side) + 1
    strips = []
    band = TOP + TALL * (depth + 1)
    for row, (name, final, others) in enumerate(zip(GENERATORS, finals, reversed(by_name), strict=True)):
        width = config.nets.width_of(name)
        steps, bottom = [], row * band + TOP + TALL * depth
        for column, (slot, side) in enumerate(zip(final.slots, output_sides(final, resolution), strict=True)):
            op, other = slot.ops[0], others.get(slot.name, "nothing")
            height = TALL * max(1.0, depth - log2(resolution / side))
            channels = slot.c_out.at(width)
            label = f"{slot.name}: {op}, {channels} channels, {side}×{side} pixels"
            if op != other:
                label += f"; {other} in the other generator"
            steps.append(
                Step(
                    x=column * (STEP + GAP_X),
                    y=bottom - height,
                    width=STEP,
                    height=height,
                    op=op,
                    label=label,
                    family=family(op, slot.name in searched),
                    differs=op != other,
                )
            )
        arcs, start = [], 0
        for cell in final.cells:
            if cell.residual:
                left, right = steps[start], steps[start + len(cell.slots) - 1]
                x, end = left.x - GAP_X / 2, right.x + STEP + GAP_X / 2
                arcs.append(f"M{x:g} {left.y + 4:g} Q{(x + end) / 2:g} {left.y - 18:g} {end:g} {left.y + 4:g}")
            start += len(cell.slots)
        strips.append(Strip(network_name(name), row * band + 14, tuple(steps), tuple(arcs)))
    names = dict.fromkeys(name for ops in by_name for name in ops)
    rows = [(name, *(ops.get(name, "") for ops in by_name)) for name in names]
    differing = sum(one != other for _, one, other in rows)
    return Diagram(
        title="The generators",
        caption=(
            f"Each box is an op, as tall as its output has pixels; arcs are residual connections. The directions have "
            f"different ops in {differing} of {len(names)} places" + (", marked by dots." if differing else ".")
        ),
        width=max(len(final.slots) for final in finals) * (STEP + GAP_X),
        height=2 * band,
        strips=tuple(strips),
        legend=tuple(name for name in FAMILIES if any(step.family == name for strip in strips for step in strip.steps)),
        table=Table("Slot by slot", ("slot", "A→B", "B→A"), rows, folded=True),
    )


def sizes_table(architecture: Architecture, config: RunConfig, milliseconds: Sequence[float | None]) -> Table:
    """The size and the compute of both generators; their milliseconds where they were measured."""
    sizes = generator_sizes(architecture, config.nets, config.data.resolution)
    measured = any(ms is not None for ms in milliseconds)
    rows = [
        (
            network_name(size.network),
            f"{size.width:g}",
            f"{size.parameters:,}",
            f"{size.bytes / 1e6:.2f}",
            f"{size.macs / 1e9:.3f}",
            *([f"{ms:.2f}" if ms is not None else ""] if measured else []),
        )
        for size, ms in zip(sizes, milliseconds, strict=True)
    ]
    columns = ("generator", "width", "parameters", "MB", f"GMACs at {config.data.resolution}²")
    return Table("Size and compute", (*columns, "ms") if measured else columns, rows)


def dearest(architecture: Architecture, config: RunConfig) -> Table:
    """The ops that most of the parameters are in."""
    layout = find_layout(architecture.layout).generator
    rows = []
    for name in GENERATORS:
        width, side = config.nets.width_of(name), config.data.resolution
        parts = []
        final = layout.final(architecture.ops(name))
        for slot, after in zip(final.slots, output_sides(final, side), strict=True):
            op = slot.ops[0]
            parts.append((slot_parameters(slot, op, width), slot_macs(slot, op, width, side), slot.name, op))
            side = after
        for parameters, macs, slot_name, op in sorted(parts, reverse=True)[:5]:
            rows.append((network_name(name), slot_name, op, f"{parameters:,}", f"{macs / 1e6:.1f}"))
    return Table("The largest ops", ("generator", "slot", "op", "parameters", "MMACs"), rows, folded=True)


def sample_blocks(samples: Sequence[Sample], resolution: int) -> list[Block]:
    """The sample grids with a slider over time, and input against output of the last one."""
    chosen = thinned(samples)
    readable_last = next(iter(readable(chosen[::-1])), None)
    if readable_last is None:
        return []
    last, grid = readable_last
    columns = max(1, round(grid.width / (resolution + 2)))
    side = min(max(grid.size), columns * TILE * 2)
    pictures = frames(chosen, side, "pairs")
    scale = max(1, round(TILE / resolution))
    timeline = Timeline(
        id="samples",
        title="Samples over time",
        caption=(
            "Six images of each domain, their translations, and the way back. A good translation changes what the "
            "domains differ in and nothing else, and the way back is like the input."
        ),
        frames=pictures,
        rows=ROWS,
        width=grid.width * scale,
        height=grid.height * scale,
    )
    cut = tiles(grid, resolution)
    blocks: list[Block] = [timeline]
    if len(cut) == len(ROWS):
        pairs = [
            Pair(f"{name} {number + 1}", data_uri(before, LARGE), data_uri(after, LARGE))
            for name, inputs, outputs in (("A→B", cut[0], cut[1]), ("B→A", cut[3], cut[4]))
            for number, (before, after) in enumerate(zip(inputs, outputs, strict=False))
        ]
        caption = (
            f"Held-out images where there are enough, after {last.images:,} pairs. Move the slider over the picture."
        )
        blocks.append(Wipe("wipe", "Input and output", caption, pairs, "input", "output"))
    return blocks


def quoted(*arguments: object) -> str:
    """A command to be pasted into a shell."""
    return "ganas " + " ".join(shlex.quote(str(argument)) for argument in arguments)


def config_of(record: RunRecord) -> RunConfig:
    """The config of a search or a training."""
    assert isinstance(record.config, RunConfig)
    return record.config


def examples(record: RunRecord) -> list[Block]:
    """The held-out pairs with the worst and the best scores, where there are pairs."""
    blocks: list[Block] = []
    for one in record.examples:
        for _, grid in readable([one.picture]):
            cut = tiles(grid, one.side)
            columns = list(zip(*cut, strict=False))
            pictures = [
                Frame(f"{name}: {score:.4g}", data_uri(_row(column), 3 * LARGE))
                for name, score, column in zip(one.names, one.scores, columns, strict=False)
            ]
            title = f"{network_name(f'generator_{one.direction}')}: the worst first, by {one.key}"
            caption = f"Input, output and right answer, of pairs that were not trained on, after {one.images:,} pairs."
            blocks.append(Gallery(title, caption, pictures, "large"))
    return blocks


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size, side by side."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * (width + GAP), 0))
    return row
