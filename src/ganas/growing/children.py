"""Children of a growing search: their ids, which of them are tried, and the randomness of it all. No torch, no files.

All randomness is a hash of what it is for, so nothing depends on the order in which candidates finish.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ganas.growing.actions import Action, Space
from ganas.growing.strategy import Candidate

MAX_SAMPLES = 1000  # attempts to sample at least one action


def child(parent: Candidate, action: Action) -> Candidate:
    """A candidate's child by an action."""
    name = str(action)
    return Candidate(child_id(parent.id, name), action(parent.architecture), parent.id, name, parent.generation + 1)


def repeat_of(candidate: Candidate, number: int) -> Candidate:
    """A candidate trained again from its parent's weights; all candidates share the seed of a number, from 1."""
    return replace(candidate, id=child_id(candidate.id, f"repeat {number}"), repeat=number)


def sample_children(parents: Sequence[Candidate], space: Space, probability: float, seed: int) -> list[Candidate]:
    """Sample each parent's legal actions with a probability, again until there is at least one.

    A parent's only action is always tried: scores decide which parents survive, not chance.
    """
    legal = {p.id: [*space.legal(p.architecture, p.generation)] for p in parents}
    pairs = [(p, action) for p in parents for action in legal[p.id]]
    for attempt in range(MAX_SAMPLES if pairs else 0):
        luck = [uniform(seed, f"draw {attempt}", parent.id, action) for parent, action in pairs]
        sampled = [
            child(*pair)
            for pair, number in zip(pairs, luck, strict=True)
            if number < probability or len(legal[pair[0].id]) == 1
        ]
        if sampled:
            return sampled
    return [child(*pairs[luck.index(min(luck))])] if pairs else []  # the probability is nearly 0


def child_id(parent: str, action: str) -> str:
    """The id of a candidate's child by an action, ten hex digits."""
    return _digest(parent, action).hex()[:10]


def training_seed(seed: int, candidate: Candidate) -> int:
    """The seed of everything random in the training of a candidate."""
    if candidate.repeat:
        return int.from_bytes(_digest(seed, "repeat", candidate.repeat)[:8], "big") >> 1
    return lineage_seed(seed, candidate.parent, candidate.action or candidate.id)


def lineage_seed(seed: int, parent: str | None, name: str) -> int:
    """The seed of a candidate's training, by its parent and its action, or its own id if it has none."""
    return int.from_bytes(_digest(seed, "training", parent, name)[:8], "big") >> 1


def uniform(*parts: object) -> float:
    """A number in [0, 1), a hash of the parts."""
    return int.from_bytes(_digest(*parts)[:8], "big") / 2**64


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
