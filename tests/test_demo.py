"""The end of the demo: what it measures, prints and writes, with a decoder that shows real pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior import checkpoint, demo
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.files import read_json
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior import Prior
from prefprior.models.sampling import Sampling
from prefprior.world import catalogue
from prefprior.world.source import WorldSource

NODES = {
    "source": {"_target_": "prefprior.world.source.WorldSource", "people": 120, "pictures": 400},
    "embeddings": {"_target_": "prefprior.data.stored.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule"},
    "seed": 0,
}


class Showing:
    """Decodes by showing the catalogue's nearest picture."""

    space_name, identity, takes_negative, takes_prompt = "world-clip", "showing", False, False

    def __init__(self, world: WorldSource) -> None:
        self.vectors, self.pictures = np.array(world.embeddings().vectors), world.pictures()

    def to(self, device: str) -> None:
        """Nothing to move."""

    def decode(self, embeddings_BD, *, negative_BD, prompt, generators):  # type: ignore[no-untyped-def]
        rows = ((self.vectors[None] - embeddings_BD.numpy()[:, None]) ** 2).sum(2).argmin(1)
        return [self.pictures.open(self.pictures.ids[row]) for row in rows]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a finished (if untaught) run on a small world."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "EXAMPLES", 2)
    monkeypatch.setattr(catalogue, "FINE_EXAMPLES", 16)
    world = WorldSource(people=120, pictures=400)
    data = PreferenceDataModule(source=world)
    data.setup()
    torch.manual_seed(0)
    prior = Prior(space=data.space, width=16, depth=1, heads=2, interests=2, denoiser_width=16, denoiser_depth=1)
    sampling = Sampling(method="one_step")
    path = tmp_path / "runs/train/one/prior.safetensors"
    checkpoint.save(path, prior=prior, objective=Regression(), sampling=sampling, facts={"train": NODES})
    monkeypatch.setattr(demo, "make_decoder", lambda space_name: Showing(world))
    return path


def test_it_needs_a_gallery_and_says_how_to_make_one(trained: Path) -> None:
    with pytest.raises(ValueError, match=r"python sample\.py"):
        demo.run()


def test_figures_of_everyone_and_the_last_two_lines(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = Path("runs/sample/one/gallery/index.html")
    gallery.parent.mkdir(parents=True)
    gallery.write_text("<html></html>")
    folder = demo.run()
    figures = read_json(folder / "metrics.json")
    for name in ("prior", "mean_of_likes", "neighbours", "chance"):
        for metric in ("utility@2", "utility@16", "utility_decoded@16", "modes@16", "utility_several_modes@16"):
            assert f"world/unseen/{name}/{metric}" in figures
    # Sixteen pictures of a catalogue this small are not all among its very best.
    assert figures["world/unseen/oracle/utility@16"] > 0.4
    assert abs(figures["world/unseen/chance/utility@16"]) < 0.3
    assert figures["world/unseen/mean_of_likes/utility@16"] > figures["world/unseen/chance/utility@16"]
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-2:] == [f"metrics: {folder / 'metrics.json'}", f"gallery: {gallery}"]


def test_a_prior_of_other_data_is_refused(trained: Path) -> None:
    prior = checkpoint.load(trained)
    prior.facts["train"] = {
        **NODES,
        "source": {"_target_": "prefprior.data.sources.table.TableSource", "ratings": "r.csv"},
    }
    with pytest.raises(ValueError, match="not of the world"):
        demo.world_data(prior, trained)
