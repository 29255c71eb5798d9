"""The pairs that a training translates worst and best, as pictures for who looks at the run.

Only pairs have a score of each image; a distance of sets has none.
"""

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import DIRECTIONS, find_layout
from ganas.cyclegan.translate import Translator, load_generator
from ganas.cyclegan.validation import Validation
from ganas.metrics.measurement import loss_of
from ganas.pictures import png, tile
from ganas.store import Run, write_atomically

EXAMPLES = 6  # at each end


def write_examples(run: Run, config: RunConfig, validation: Validation) -> None:
    """Translate all pairs with the kept generators, and write the extremes; without pairs, nothing."""
    for direction in DIRECTIONS if validation.has_pairs else ():
        generator, info = load_generator(run.generator(direction))
        multiple, bf16 = find_layout(info.layout).generator_multiple, config.training.precision == "bf16"
        translator = Translator(generator, multiple, device=config.training.device, bf16=bf16)
        inputs, outputs, truths, names, by_key = validation.translated_pairs(direction, translator)
        key = next((key for key in by_key if key == info.metric), next(iter(by_key)))
        worst_first = sorted(range(len(names)), key=lambda index: -loss_of(key, by_key[key][index]))
        shown = worst_first if len(names) <= 2 * EXAMPLES else worst_first[:EXAMPLES] + worst_first[-EXAMPLES:]
        write_atomically(run.example_picture(direction), png(tile(tuple(_chosen(shown, inputs, outputs, truths)))))
        examples = [{"name": names[index], "score": by_key[key][index]} for index in shown]
        document = {"key": key, "images": info.images, "side": inputs.shape[-1], "examples": examples}
        run.write_text(run.example_scores(direction), json.dumps(document, indent=1) + "\n")


def _chosen(indices: Sequence[int], *images: Tensor) -> list[Tensor]:
    return [some[torch.tensor(indices)] for some in images]
