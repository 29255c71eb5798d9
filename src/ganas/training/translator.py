"""Training the translator of one architecture: the loop, a checkpoint chosen for each direction, repeats."""

import json
from pathlib import Path
from typing import Any

from ganas.config import RunConfig
from ganas.data.loaders import centre_images
from ganas.inference import GeneratorInfo, save_generator
from ganas.metrics.evaluate import Reference
from ganas.metrics.features import load_features
from ganas.nets.architecture import Architecture
from ganas.nets.layout import find_layout
from ganas.progress import Reporter, StopSignal
from ganas.store import Run
from ganas.training.loop import Event
from ganas.training.opening import claim, kept_choices, open_domains
from ganas.training.phases import joint_phases
from ganas.training.session import Session

DIRECTIONS = ("ab", "ba")
REFERENCE_IMAGES = 500  # of the target domain, at most, that a checkpoint is compared with


class Selection:
    """Translates the held-out images and keeps, for each direction, the generator whose fakes are the closest."""

    def __init__(self, session: Session, architecture: Architecture) -> None:
        self.session = session
        self.architecture = architecture
        config, domains = session.config, session.domains
        self.metric = config.metrics.select
        size = config.data.resolution
        features = None
        metrics = ["swd"]
        if config.metrics.features:
            features = load_features(config.metrics.features, device=config.training.device)
            metrics = ["fid", "kid"]
        self.held = {"ab": centre_images(domains.held_a, size), "ba": centre_images(domains.held_b, size)}
        targets = {"ab": domains.b, "ba": domains.a}
        self.references = {
            direction: Reference(
                centre_images(target.subset(range(min(len(target), REFERENCE_IMAGES))), size), metrics, features
            )
            for direction, target in targets.items()
        }

    def measure(self, nimg: int) -> None:
        """Translate, measure, and keep a generator that is the best so far."""
        best: dict[str, Any] = self.session.extra_state.setdefault("best", {})
        scores: dict[str, float] = {}
        for direction, translator in self.session.translators().items():
            measurement = self.references[direction].measure(translator(self.held[direction]))
            scores |= {f"{direction}/{key}": value for key, value in measurement.scores.items()}
            key, value = next((k, v) for k, v in measurement.scores.items() if k.startswith(f"{self.metric}@"))
            if direction not in best or value < best[direction]["score"]:
                self.keep(direction, nimg)
                best[direction] = {"metric": key, "score": value, "nimg": nimg}
        self.session.record({"nimg": nimg, "scores": scores})

    def keep(self, direction: str, nimg: int) -> None:
        """Write one direction's generator into the model folder."""
        keep_generator(self.session, self.architecture, direction, nimg)


def keep_generator(session: Session, architecture: Architecture, direction: str, nimg: int) -> None:
    """Write one direction's generator into the run's model folder."""
    name = f"generator_{direction}"
    info = GeneratorInfo(
        network=name,
        layout=architecture.layout,
        ops=architecture.ops(name),
        width=session.config.nets.width,
        resolution=session.config.data.resolution,
        images=nimg,
        architecture=architecture.id,
    )
    save_generator(session.run.model / f"{name}.safetensors", session.generators()[name], info)


def train(config: RunConfig, architecture: Architecture, out: Path) -> dict[str, Any]:
    """Train one architecture; the same call again resumes, or returns the result of a finished run."""
    layout = find_layout(architecture.layout)
    config = config.model_copy(
        update={"architecture": architecture.id, "nets": config.nets.model_copy(update={"layout": layout.name})}
    )
    run = Run(out)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        config, domains = open_domains(kept_choices(run, config), layout)
        claim(run, config)
        run.write_text(run.architecture, architecture.to_json())
        session = Session(run, config, layout, architecture, domains, joint_phases, reporter)
        session.resume()
        if config.metrics.select == "last":
            def keep(nimg: int) -> None:
                for direction in DIRECTIONS:
                    keep_generator(session, architecture, direction, nimg)
            events = [Event("keep", config.training.checkpoint_every, keep)]
        else:
            selection = Selection(session, architecture)
            events = [Event("evaluate", config.training.evaluate_every, selection.measure)]
        session.go("train", events, stop)
        result = {"architecture": architecture.id, "images": session.loop.nimg, "best": session.extra_state.get("best", {})}
        run.write_text(run.result, json.dumps(result, indent=2))
        return result
