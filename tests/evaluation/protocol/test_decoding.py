import pytest
import torch
from PIL import Image

from prefprior.baselines.random import RandomPredictor
from prefprior.evaluation.metrics.generation import diversity_and_novelty, sample_recall, similarity
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.results import Results
from prefprior.evaluation.protocol.scoreboard import Scoreboard
from prefprior.evaluation.report.html import picture_rows
from prefprior.evaluation.report.labels import describe, order
from tests.evaluation.tastes import make_tastes


class Numbered:
    """A decoder whose pictures hold the number of an embedding, and the encoder that reads it again."""

    space_name, identity = "toy", "numbered"

    def __init__(self, shift=0.0):
        self.seen, self.shift = [], shift

    def decode(self, embeddings_BD, *, negative_BD, prompt, generators):
        pictures = []
        for embedding_D in embeddings_BD:
            pictures.append(Image.new("RGB", (8, 8), (len(self.seen), 0, 0)))
            self.seen.append(embedding_D)
        return pictures

    def encode_images(self, pictures):
        return torch.stack([self.seen[p.getpixel((0, 0))[0]] for p in pictures]) + self.shift

    def open(self, item):
        return Image.new("RGB", (8, 8))


@pytest.fixture(scope="module")
def outcome_and_results():
    tastes, coder = make_tastes(users=12, items=60, rated=16), Numbered()
    predictor = RandomPredictor()
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    decoding = Decoding(decoder=coder, encoder=coder, people=5, samples=3, batch_size=4)
    outcomes = Scoreboard(lengths=(2, None), samples=4, ks=(5,), controls=()).run(
        predictor, tastes.people, decoding=decoding
    )
    return outcomes[-1], Results("toy", "unseen", tastes.people, outcomes)


def test_a_faithful_decoder_does_not_drift(outcome_and_results):
    outcome, results = outcome_and_results
    figures = results.figures
    assert figures["toy/unseen/random/drift_decoded@all"].value == pytest.approx(0, abs=1e-6)
    assert figures["toy/unseen/random/drift_decoded@all"].people == 5
    assert "toy/unseen/random/drift_decoded@2" not in figures
    assert [len(row) for row in outcome.decoded.pictures] == [3] * 5


def test_of_a_faithful_decoders_pictures_everything_is_what_it_is_of_samples(outcome_and_results):
    outcome, results = outcome_and_results
    made, shown = outcome.samples_BnD[:5, :3], results.people.take(torch.arange(5))
    expected = {**similarity(made, shown), **diversity_and_novelty(made, shown), **sample_recall(made, shown, (5,))}
    for name, value_B in expected.items():
        found_B = torch.from_numpy(outcome.by_user[f"{name}_decoded"])
        torch.testing.assert_close(found_B[:5], value_B.double(), atol=1e-5, rtol=1e-4, equal_nan=True)
        assert found_B[5:].isnan().all()
    assert {"precision_decoded", "coverage_cloud_decoded", "mmd_all_decoded"} <= outcome.overall.keys()


def test_pictures_stand_beside_likes_in_the_report(outcome_and_results):
    outcome, results = outcome_and_results
    rows = picture_rows(results, outcome, Numbered())
    assert len(rows) == 5
    assert all(len(row["made"]) == 3 and row["liked"] for row in rows)


def test_drift_is_measured_and_foreign_spaces_are_refused():
    tastes, coder = make_tastes(users=4), Numbered(shift=5.0)
    decoding = Decoding(decoder=coder, encoder=coder)
    assert (
        float(decoding.decode_and_embed(tastes.people.held_embeddings(), tastes.catalogue.space, 0).drift_B.min())
        > 0.05
    )
    coder.space_name = "elsewhere"
    with pytest.raises(ValueError, match="elsewhere"):
        decoding.decode_and_embed(tastes.people.held_embeddings(), tastes.catalogue.space, 0)


def test_decoded_metrics_have_words_and_come_last():
    assert describe("utility_decoded").label == "utility, decoded"
    assert order({"drift_decoded", "novelty", "auc_decoded", "auc"}) == [
        "auc",
        "novelty",
        "drift_decoded",
        "auc_decoded",
    ]
