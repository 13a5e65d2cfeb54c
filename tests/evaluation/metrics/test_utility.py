"""The scoreboard of a world: what only a world can tell, of embeddings and of pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior.baselines.random import RandomPredictor
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.utility import true_utility
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.oracle import Oracle
from prefprior.evaluation.protocol.results import Condition, Results
from prefprior.evaluation.protocol.scoreboard import Scoreboard
from prefprior.evaluation.report.html import picture_rows, write_report
from prefprior.evaluation.report.table import headline, label
from prefprior.predictor import TrainingPart
from prefprior.space import Space
from prefprior.world import clip
from prefprior.world.source import WorldSource, truth_known


@pytest.fixture(scope="module")
def data(world: WorldSource) -> PreferenceDataModule:
    data = PreferenceDataModule(source=world)
    data.setup()
    return data


class Nearest:
    """Decodes by showing the catalogue's picture of that very embedding, and reads it by its place."""

    space_name, identity, takes_negative, takes_prompt = clip.MODEL_NAME, "nearest", False, False

    def __init__(self, world: WorldSource) -> None:
        self.table, self.pictures = world.embeddings(), world.pictures()
        self.seeds: list[int] = []
        self.shown: list[int] = []

    def decode(self, embeddings_BD, *, negative_BD, prompt, generators):  # type: ignore[no-untyped-def]
        self.seeds += [g.initial_seed() for g in generators]
        rows = np.abs(self.table.vectors[None] - embeddings_BD.numpy()[:, None]).sum(2).argmin(1)
        self.shown += rows.tolist()
        return [self.pictures.open(self.table.ids[row]) for row in rows]

    def encode_images(self, pictures):  # type: ignore[no-untyped-def]
        rows = self.shown[-len(pictures) :]
        return torch.from_numpy(np.array(self.table.vectors[rows])).float()


@pytest.fixture(scope="module")
def decoder(world: WorldSource) -> Nearest:
    return Nearest(world)


@pytest.fixture(scope="module")
def results(world: WorldSource, data: PreferenceDataModule, decoder: Nearest) -> Results:
    people = HeldOutUsers.halves(data.ratings, data.catalogue, data.scale)
    scoreboard = Scoreboard(lengths=(2, 16), shown=(5,), samples=2, ks=(5,), controls=())
    decoding = Decoding(decoder=decoder, encoder=decoder, people=4, samples=1, lengths=(16,))
    outcomes = []
    for predictor in (Oracle(world), RandomPredictor()):
        predictor.fit(TrainingPart(data.ratings, data.catalogue), None, torch.Generator().manual_seed(0))
        outcomes += scoreboard.run(predictor, people, world, decoding=decoding)
    return Results("world", "unseen", people, outcomes)


@pytest.fixture(scope="module")
def figures(results: Results) -> dict[str, Figure]:
    return results.figures


def test_an_oracle_scores_one_and_random_zero(figures: dict[str, Figure]) -> None:
    assert figures["world/unseen/oracle/utility@16"].value == pytest.approx(1, abs=0.05)
    assert figures["world/unseen/oracle/regret@all"].value == pytest.approx(0, abs=0.05)
    assert abs(figures["world/unseen/random/utility@16"].value) < 0.2


def test_mode_coverage_is_measured_for_users_with_several_modes(results: Results, figures: dict[str, Figure]) -> None:
    several = figures["world/unseen/oracle/utility_several_modes@all"].people
    assert figures["world/unseen/oracle/modes@all"].people == several < len(results.people)


def test_users_with_one_and_several_tastes_are_all_users(results: Results, figures: dict[str, Figure]) -> None:
    one, several, everybody = (
        figures[f"world/unseen/random/{name}@all"] for name in ("utility_one_mode", "utility_several_modes", "utility")
    )
    assert one.people + several.people == everybody.people == len(results.people)
    total = one.value * one.people + several.value * several.people
    assert total / everybody.people == pytest.approx(everybody.value)


@pytest.fixture(scope="module")
def enough(results: Results) -> np.ndarray:
    """Who has a history of sixteen ratings: some, and not all."""
    enough_B = (results.people.valid_BK.sum(1) >= 16).numpy()
    assert 3 <= enough_B.sum() < len(results.people)
    return enough_B


def test_metrics_at_a_length_use_users_with_that_many_ratings(
    results: Results, figures: dict[str, Figure], enough: np.ndarray
) -> None:
    outcome = results.find("random", Condition(16))
    assert outcome is not None
    assert np.array_equal(~np.isnan(outcome.by_user["utility"]), enough)
    assert figures["world/unseen/random/utility@16"].people == enough.sum()


def test_sample_metrics_at_a_length_use_users_with_that_many_ratings(results: Results, enough: np.ndarray) -> None:
    outcome = results.find("random", Condition(16))
    assert outcome is not None
    assert outcome.users == [user for user, yes in zip(results.people.users, enough) if yes]


def test_population_metrics_record_their_number_of_users(figures: dict[str, Figure], enough: np.ndarray) -> None:
    assert figures["world/unseen/random/coverage_5@16"].people == enough.sum()


def test_metrics_of_whole_histories_use_all_users(results: Results, figures: dict[str, Figure]) -> None:
    assert figures["world/unseen/random/utility@all"].people == len(results.people)


def test_a_length_that_few_users_reach_is_left_out(
    world: WorldSource, data: PreferenceDataModule, results: Results
) -> None:
    scoreboard = Scoreboard(lengths=(500,), shown=(), samples=2, ks=(5,), controls=())
    predictor = RandomPredictor()
    predictor.fit(TrainingPart(data.ratings, data.catalogue), None, torch.Generator().manual_seed(0))
    outcomes = scoreboard.run(predictor, results.people, world)
    assert [outcome.condition.length for outcome in outcomes] == [None]  # whole histories are always among the lengths


def test_decoded_utility_is_the_utility_of_decoded_pictures(
    world: WorldSource, results: Results, figures: dict[str, Figure], decoder: Nearest
) -> None:
    assert figures["world/unseen/oracle/utility_decoded@16"].value == pytest.approx(1, abs=0.05)
    assert figures["world/unseen/oracle/utility_decoded@16"].people == 4
    assert figures["world/unseen/oracle/drift_decoded@16"].value == pytest.approx(0, abs=1e-4)
    assert "world/unseen/oracle/utility_decoded@all" not in figures
    assert len(set(decoder.seeds)) == 4  # each picture has noise of its own, the same for every predictor


def test_the_first_table_shows_decoded_utility_with_its_length(results: Results) -> None:
    assert "utility_decoded" in headline(results)
    assert label(results, "utility_decoded").endswith("decoded @16")


def test_the_report_shows_decoded_pictures_of_users_who_have_some(results: Results, world: WorldSource) -> None:
    outcome = results.find("oracle", Condition(16))
    assert outcome is not None
    rows = picture_rows(results, outcome, world.pictures())
    assert [row["user"] for row in rows] == outcome.users[:4]
    assert all(len(row["made"]) == 1 for row in rows)


def test_the_report_shows_decoded_utility(
    world: WorldSource, results: Results, figures: dict[str, Figure], tmp_path: Path
) -> None:
    write_report(tmp_path / "report.html", results, {}, world.pictures())
    html = (tmp_path / "report.html").read_text()
    assert f"{figures['world/unseen/oracle/utility_decoded@16'].value:.3f}" in html


def test_differences_include_decoded_pictures(results: Results) -> None:
    gap = results.differences["world/unseen/oracle-random/utility_decoded@16"]
    assert gap.people == 4
    assert gap.value > 0.3
    assert "world/unseen/oracle-random/utility@16" not in results.differences


def test_decoding_lengths_that_are_not_measured_is_refused(
    results: Results, world: WorldSource, decoder: Nearest
) -> None:
    decoding = Decoding(decoder=decoder, encoder=decoder, lengths=(8,))
    with pytest.raises(ValueError, match=r"decoding\.lengths.*scoreboard\.lengths"):
        Scoreboard(lengths=(2,)).run(RandomPredictor(), results.people, world, decoding=decoding)


def test_a_world_gives_no_utility_in_other_spaces(world: WorldSource, data: PreferenceDataModule) -> None:
    assert truth_known(world, data.space)
    assert not truth_known(world, Space.measure("world-clip+wals", np.array(world.embeddings().vectors)))
    assert not truth_known(object(), data.space)
    found = true_utility(world, ["person-0001"], data.catalogue.embeddings_ND[None, :5].float())
    assert found["utility_best"] >= found["utility"]
