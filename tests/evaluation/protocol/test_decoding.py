from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from prefprior.baselines.random import RandomPredictor
from prefprior.evaluation.metrics.generation import diversity_and_novelty, sample_recall, similarity
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.results import Outcome, Results
from prefprior.evaluation.protocol.scoreboard import Scoreboard
from prefprior.evaluation.report.html import picture_rows
from prefprior.evaluation.report.labels import describe, order
from tests.evaluation.tastes import make_tastes


class Numbered:
    """A decoder whose pictures hold the number of an embedding, and the encoder that reads it again."""

    space_name, identity = "toy", "numbered"

    def __init__(self, shift: float = 0.0) -> None:
        self.seen: list[Tensor] = []
        self.shift = shift

    def decode(self, embeddings_BD: Tensor, **_: Any) -> list[Image.Image]:
        pictures = []
        for embedding_D in embeddings_BD:
            pictures.append(Image.new("RGB", (8, 8), (len(self.seen), 0, 0)))
            self.seen.append(embedding_D)
        return pictures

    def encode_images(self, pictures: list[Any]) -> Tensor:
        return torch.stack([self.seen[p.getpixel((0, 0))[0]] for p in pictures]) + self.shift

    def open(self, item: str) -> Image.Image:
        return Image.new("RGB", (8, 8))


@pytest.fixture(scope="module")
def outcome_and_results() -> tuple[Outcome, Results]:
    tastes, coder = make_tastes(users=12, items=60, rated=16), Numbered()
    predictor = RandomPredictor()
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    decoding = Decoding(decoder=coder, encoder=coder, people=5, samples=3, batch_size=4)
    outcomes = Scoreboard(lengths=(2, None), samples=4, ks=(5,), controls=()).run(
        predictor, tastes.people, decoding=decoding
    )
    return outcomes[-1], Results("toy", "unseen", tastes.people, outcomes)


def test_a_faithful_decoder_does_not_drift(outcome_and_results: tuple[Outcome, Results]) -> None:
    _, results = outcome_and_results
    figures = results.figures
    assert figures["toy/unseen/random/drift_decoded@all"].value == pytest.approx(0, abs=1e-6)
    assert figures["toy/unseen/random/drift_decoded@all"].people == 5


def test_decoding_is_limited_to_users_samples_and_lengths(
    outcome_and_results: tuple[Outcome, Results],
) -> None:
    outcome, results = outcome_and_results
    assert "toy/unseen/random/drift_decoded@2" not in results.figures
    assert outcome.decoded is not None
    assert [len(row) for row in outcome.decoded.pictures] == [3] * 5


def test_metrics_of_a_faithful_decoder_equal_those_of_samples(
    outcome_and_results: tuple[Outcome, Results],
) -> None:
    outcome, results = outcome_and_results
    assert outcome.samples_BnD is not None
    made, shown = outcome.samples_BnD[:5, :3], results.people.take(torch.arange(5))
    expected = {**similarity(made, shown), **diversity_and_novelty(made, shown), **sample_recall(made, shown, (5,))}
    for name, value_B in expected.items():
        found_B = torch.from_numpy(outcome.by_user[f"{name}_decoded"])
        torch.testing.assert_close(found_B[:5], value_B.double(), atol=1e-5, rtol=1e-4, equal_nan=True)
        assert found_B[5:].isnan().all()
    assert {"precision_decoded", "coverage_cloud_decoded", "mmd_all_decoded"} <= outcome.overall.keys()


def test_the_report_shows_decoded_pictures_next_to_likes(outcome_and_results: tuple[Outcome, Results]) -> None:
    outcome, results = outcome_and_results
    rows = picture_rows(results, outcome, Numbered())
    assert len(rows) == 5
    assert all(len(row["made"]) == 3 and row["liked"] for row in rows)


def test_drift_is_measured() -> None:
    tastes, coder = make_tastes(users=4), Numbered(shift=5.0)
    decoding = Decoding(decoder=coder, encoder=coder)
    decoded = decoding.decode_and_embed(tastes.people.held_embeddings(), tastes.catalogue.space, 0)
    assert float(decoded.drift_B.min()) > 0.05


def test_samples_of_another_space_are_refused() -> None:
    tastes, coder = make_tastes(users=4), Numbered()
    decoding = Decoding(decoder=coder, encoder=coder)
    coder.space_name = "elsewhere"
    with pytest.raises(ValueError, match="elsewhere"):
        decoding.decode_and_embed(tastes.people.held_embeddings(), tastes.catalogue.space, 0)


def test_decoded_metrics_have_descriptions() -> None:
    assert describe("utility_decoded").label == "utility, decoded"


def test_decoded_metrics_come_last() -> None:
    ordered = ["auc", "novelty", "drift_decoded", "auc_decoded"]
    assert order({"drift_decoded", "novelty", "auc_decoded", "auc"}) == ordered
