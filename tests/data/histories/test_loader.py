"""prefprior/data/histories/loader.py: an endless, repeatable stream, and one fixed pass."""

import numpy as np
import pytest

from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import FixedBatches, TrainingBatches
from prefprior.data.histories.sequences import Sequences
from prefprior.data.splits import Splits
from prefprior.history import concatenate
from tests.data.small import module, ratings, same

RULE = DrawRule(history_cap=64, targets_per_user=4)


@pytest.fixture(scope="module")
def assembler() -> Assembler:
    data = module()
    return Assembler(Sequences.of(data.part("train")), data.catalogue.embeddings_ND, data.scale)


def test_the_stream_is_repeatable() -> None:
    one, other = (module(batch_size=8, epoch_batches=6).train_dataloader() for _ in range(2))
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_another_seed_gives_another_stream() -> None:
    one, other = (module(batch_size=8, epoch_batches=6, seed=seed).train_dataloader() for seed in (0, 1))
    assert not same(next(iter(one)), next(iter(other)))


def test_the_stream_resumes_at_its_position() -> None:
    whole = list(module(batch_size=8, epoch_batches=6).train_dataloader())
    interrupted = module(batch_size=8, epoch_batches=6)
    iterator = iter(interrupted.train_dataloader())
    for _ in range(2):
        next(iterator)
    resumed = module(batch_size=8, epoch_batches=6)
    resumed.load_state_dict(interrupted.state_dict())
    assert all(same(a, b) for a, b in zip(whole[2:], resumed.train_dataloader()))


def test_each_pass_contains_each_user_once() -> None:
    data = module(batch_size=16, epoch_batches=1)
    loader = data.train_dataloader()
    seen = [batch.history.users for _ in range(len(data.users("train"))) for batch in loader]
    counts = np.unique([user for users in seen for user in users], return_counts=True)[1]
    assert (counts == 16).all()


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone, helped = (module(batch_size=8, epoch_batches=3, workers=n).train_dataloader() for n in (0, 2))
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


@pytest.mark.parametrize("place", [0, 8, 80])
def test_two_ranks_share_one_global_batch(assembler: Assembler, place: int) -> None:
    whole = TrainingBatches(assembler, RULE, batch_size=8, seed=0)
    ranks = [TrainingBatches(assembler, RULE, batch_size=8, seed=0, rank=rank, world=2) for rank in range(2)]
    assert same(concatenate([rank[place] for rank in ranks]), whole[place])


def test_a_batch_size_that_ranks_do_not_divide_is_refused(assembler: Assembler) -> None:
    with pytest.raises(ValueError, match="make it a multiple"):
        TrainingBatches(assembler, RULE, batch_size=9, seed=0, world=2)


@pytest.fixture(params=[1, 2, 3])
def ranks(request: pytest.FixtureRequest) -> list[FixedBatches]:
    """A fixed pass over 60 users' validation part, by so many ranks."""
    data = module(ratings(users=60), splits=Splits(by="user", val=0.3, test=0))
    sequences = Sequences.of(data.part("val"), data.part("train"))
    found = Assembler(sequences, data.catalogue.embeddings_ND, data.scale)
    world = request.param
    return [FixedBatches(found, RULE, batch_size=8, seed=0, rank=rank, world=world) for rank in range(world)]


def test_a_fixed_pass_has_the_same_number_of_batches_on_every_rank(ranks: list[FixedBatches]) -> None:
    assert len({len(rank) for rank in ranks}) == 1


def test_a_fixed_pass_contains_every_user_once(ranks: list[FixedBatches]) -> None:
    seen = [user for rank in ranks for number in range(len(rank)) for user in rank[number].history.users]
    assert sorted(seen) == sorted(ranks[0].assembler.sequences.users)


def test_a_fixed_pass_ends(ranks: list[FixedBatches]) -> None:
    with pytest.raises(IndexError):
        ranks[0][len(ranks[0])]


def test_validation_is_the_same_every_time() -> None:
    data = module(batch_size=8, splits=Splits(by="user", val=0.4, test=0))
    one, other = data.fixed_loader("val"), data.fixed_loader("val")
    assert all(same(a, b) for a, b in zip(one, other, strict=True))
