"""Time all generators of a recipe together.

Each training has timed its own, but the machine may have been busy with other jobs then. Once all are done, they are
timed again in rounds, so that whatever else the machine does meets all alike.
"""

from collections.abc import Mapping
from statistics import median

from ganas.cyclegan.front_search import whole_milliseconds
from ganas.cyclegan.layout import DIRECTIONS
from ganas.cyclegan.translate import load_generator
from ganas.progress import Reporter
from ganas.recipes.cyclegan.figures import Recipe
from ganas.recipes.cyclegan.jobs import RecipeFolder
from ganas.signals import StopSignal

ROUNDS = 5


def time_together(recipe: Recipe, folder: RecipeFolder, stop: StopSignal, reporter: Reporter) -> None:
    """Write the milliseconds of all finished trainings that are timed: medians of `ROUNDS`; again if one is new."""
    sides = {job.id: job.timed for job in recipe.jobs if job.timed and folder.result(job)}
    if sides.keys() <= folder.read_times().keys():
        return
    reporter.say(f"timing the generators of {len(sides)} trainings together, {ROUNDS} times: leave the machine alone")
    with stop.interruptible():
        networks = {
            (name, direction): load_generator(folder.run(name).generator(direction))[0]
            for name in sides
            for direction in DIRECTIONS
        }
        rounds = [
            {key: whole_milliseconds(network, sides[key[0]]) for key, network in networks.items()}
            for _ in range(ROUNDS)
        ]
    times: dict[str, Mapping[str, float]] = {
        name: {direction: median(one[name, direction] for one in rounds) for direction in DIRECTIONS} for name in sides
    }
    folder.write_times({**folder.read_times(), **times})  # the folder can hold other recipes, too
