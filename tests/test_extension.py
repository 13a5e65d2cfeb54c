"""Your own parts: one class and one YAML file each, in a folder of your own, without an edit in the package."""

from pathlib import Path

import pytest
import torch

from prefprior.inference.predictor import TrainedPredictor
from prefprior.runs import read_metrics
from tests.commands import SMALL_WORLD, fails, run

CODE = '''
import torch

from prefprior.baselines.baseline import Baseline
from prefprior.models.diffusion.solvers import Euler
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.world.source import WorldSource


class Halved(Euler):
    """A solver: Euler's, in half the steps."""

    def __init__(self, *, least: int = 1) -> None:
        self.least = least

    def __call__(self, denoise, schedule, noise, steps, generators=()):
        return super().__call__(denoise, schedule, noise, max(self.least, steps // 2), generators)


class Twice(Denoising):
    """An objective: every loss twice."""

    def loss(self, prior, condition, batch, generator):
        return {name: 2 * value for name, value in super().loss(prior, condition, batch, generator).items()}


class Small(WorldSource):
    """A source: a world of its own size."""

    def __init__(self, *, users: int = 240) -> None:
        super().__init__(people=users, pictures=240)


class Same(Baseline):
    """A baseline: everything scores alike."""

    def __init__(self, *, value: float = 1.0) -> None:
        super().__init__(name="same")
        self.value = value

    def sample(self, history, n, generator):
        rows = torch.randint(len(self.catalogue), (len(history), n), generator=generator)
        return self.catalogue.embeddings_ND[rows].float()

    def rank(self, history, catalogue, by="interaction"):
        return torch.full((len(history), len(catalogue)), self.value)


class Cold(TwoTower):
    """A retriever: two towers at half the score."""

    def score(self, tokens_BIW, raw):
        return super().score(tokens_BIW, raw) / 2
'''
SCHEDULE = "schedule:\n  _target_: prefprior.models.diffusion.schedules.LinearSchedule\n"
SAMPLER = "_target_: prefprior.models.diffusion.sampler.Sampler\nsteps: 4\n"
YAML = {
    "sampler/halved": SAMPLER + "solver:\n  _target_: mylab.Halved\n",
    "objective/twice": "_target_: mylab.Twice\n" + SCHEDULE,
    "source/small": "_target_: mylab.Small\n",
    "baseline/same": "_target_: mylab.Same\n",
    "retriever/cold": "_target_: mylab.Cold\n",
}
QUICK = (*SMALL_WORLD[2:], "debug=fast", "trainer.enable_progress_bar=false")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A folder with a package and a configuration, and the word that makes it known."""
    (tmp_path / "mylab.py").write_text(CODE)
    for name, text in YAML.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path, f"hydra.searchpath=[file://{tmp_path}/conf]"


@pytest.mark.parametrize(
    "word", ["sampler=halved", "objective=twice", "source=small", "retriever=cold", "objective=twice retriever=cold"]
)
def test_a_custom_component_trains_and_loads(own: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    folder, search = own
    world = () if "source" in word else SMALL_WORLD[:2]
    run(monkeypatch, folder, "train", search, *world, *QUICK, *word.split(), "run_dir=runs/train/mine")
    path = folder / "runs/train/mine/prior.safetensors"
    if word != "source=small":
        with pytest.raises(ValueError, match=r"trust=\[PACKAGE\]"):
            TrainedPredictor.load(path)
    predictor = TrainedPredictor.load(path, trust=["mylab"])
    names = str((predictor.model.config, predictor.objective.config, predictor.sampler.config))
    assert word == "source=small" or names.count("mylab.") == len(word.split())
    assert torch.isfinite(torch.cat([p.flatten() for p in predictor.model.parameters()])).all()


def test_a_custom_source_is_evaluated_if_its_package_is_trusted(
    own: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, search = own
    run(monkeypatch, folder, "train", search, *QUICK, "source=small", "run_dir=runs/train/mine")
    words = ("checkpoint=runs/train/mine", "predictors=[mean]", "decoding=null", "people=20")
    assert "trust=[PACKAGE]" in fails(monkeypatch, folder, "evaluate", *words)
    run(monkeypatch, folder, "evaluate", *words, "trust=[mylab]", "run_dir=runs/evaluate/mine")
    assert any("/mean/auc" in key for key in read_metrics(folder / "runs/evaluate/mine"))


def test_a_custom_baseline_is_on_the_scoreboard(own: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, search = own
    words = ("source=world", *SMALL_WORLD[:2], "decoding=null", "people=20", "predictors=[same]")
    chosen = ("+baseline@baselines.same=same", "baselines.same.value=2")
    run(monkeypatch, folder, "evaluate", search, *words, *chosen, "run_dir=runs/evaluate/mine")
    figures = read_metrics(folder / "runs/evaluate/mine")
    assert figures["world/unseen/same/auc@all"] == 0.5
