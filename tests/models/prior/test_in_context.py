"""The in-context prior: a diffusers `PriorTransformer` and ours say the same, and its own invariances."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.prior.pretrained import from_prior_transformer
from prefprior.predictor import Catalogue
from prefprior.space import Space
from tests.models.conftest import DIM, losses, make_batch, make_history, make_model, total
from tests.models.published import tiny_published


@pytest.fixture
def published(tmp_path: Path) -> tuple[Any, Path]:
    return tiny_published(tmp_path / "prior", DIM), tmp_path / "prior"


def test_outputs_agree_with_the_diffusers_class(published: tuple[Any, Path], space: Space) -> None:
    model, folder = published
    prior, _ = from_prior_transformer(folder, space)
    g = torch.Generator().manual_seed(1)
    noisy, prompt, context = (torch.randn(*shape, generator=g) for shape in ((3, DIM), (3, DIM), (3, 7, DIM)))
    # Kandinsky pads its prompts at the end; the first token is always one.
    valid = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]]).bool()
    network, step = prior.network, torch.tensor([0.0, 500.0, 999.0])
    with torch.no_grad():
        theirs = model(noisy, step, prompt, context, valid).predicted_image_embedding
        ours = network(
            noisy,
            step,
            network.embedding_proj(prompt),
            network.encoder_hidden_states_proj(context),
            valid,
            torch.zeros(3, 16),
        )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_all_published_weights_are_used(published: tuple[Any, Path], space: Space) -> None:
    model, folder = published
    _, transfer = from_prior_transformer(folder, space)
    assert transfer.refused == {}
    assert {name.split(".")[0] for name in transfer.new} == {"choices", "rating", "target_rating", "target_unknown_W"}
    assert len(transfer.used) == len(model.state_dict())


def test_outputs_agree_with_the_eclipse_layout(space: Space, tmp_path: Path) -> None:
    """The layout of ECLIPSE: no token for the time, and an output that is a raw embedding already."""
    model = tiny_published(tmp_path, DIM, time=False)
    prior, transfer = from_prior_transformer(tmp_path, space)
    assert transfer.refused == {}
    assert len(transfer.used) == len(model.state_dict())
    g = torch.Generator().manual_seed(1)
    noise, prompt, context = (torch.randn(*shape, generator=g) for shape in ((2, DIM), (2, DIM), (2, 7, DIM)))
    valid = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]]).bool()
    network = prior.network
    with torch.no_grad():
        theirs = model(noise, 0, prompt, context, valid).predicted_image_embedding
        ours = network(
            noise, torch.zeros(2), network.embedding_proj(prompt), network.encoder_hidden_states_proj(context), valid,
            torch.zeros(2, 16),
        )  # fmt: skip
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prior.scale.from_model(ours), ours)


def test_times_agree_with_the_published_schedule(in_context: InContextPrior) -> None:
    """The cosine schedule at our time has the noise of diffusers' scheduler at the step that the network is told."""
    from diffusers import UnCLIPScheduler

    told = []
    in_context.network.register_forward_pre_hook(lambda module, given: told.append(given[1]))
    time = torch.tensor([0.1, 0.5, 0.9]).view(1, 1, 3)
    condition = in_context.condition(in_context.encode_history(make_history(1, 2)), torch.ones(1, 1))
    in_context.predict(torch.zeros(1, 1, 3, DIM), time, condition)
    kept = UnCLIPScheduler(num_train_timesteps=1000).alphas_cumprod[told[0].round().long()]
    torch.testing.assert_close(CosineSchedule().alpha_sigma(time.flatten())[0].square(), kept, atol=3e-3, rtol=0)


def test_the_published_weights_bring_their_scale(published: tuple[Any, Path], space: Space) -> None:
    model, folder = published
    prior, _ = from_prior_transformer(folder, space)
    raw = torch.randn(4, DIM)
    torch.testing.assert_close(model.post_process_latents(prior.scale.to_model(raw)), raw)
    assert prior.space.name == space.name


def changed(folder: Path, **config: Any) -> Path:
    """Published weights with another configuration beside them."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"additional_embeddings": 3}, "additional_embeddings is 3, but the weights need 4"),
        ({"norm_in_type": "layer"}, "norm_in_type is 'layer'"),
        ({"clip_embed_dim": 5}, "clip_embed_dim is 5; only 12"),
        ({"embedding_dim": 1280}, "1280 dimensions, but the space test/space has 12"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_name(
    published: tuple[Any, Path], space: Space, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        from_prior_transformer(changed(published[1], **config), space)


def test_a_weight_of_another_shape_is_refused_by_name(published: tuple[Any, Path], space: Space) -> None:
    _, transfer = from_prior_transformer(changed(published[1], num_embeddings=5), space)
    assert list(transfer.refused) == ["positional_embedding"]
    assert "(1, 11, 16), but (1, 9, 16) in this model" in str(transfer)


def test_a_folder_without_weights_is_named(space: Space, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"contains no config\.json"):
        from_prior_transformer(tmp_path, space)


@pytest.fixture
def in_context(space: Space) -> InContextPrior:
    torch.manual_seed(0)
    prior = InContextPrior(space=space, width=32, depth=2, heads=4, context=8)
    for added in (prior.rating, prior.target_rating):
        torch.nn.init.normal_(added.leave.weight, std=0.3)
    torch.nn.init.normal_(prior.network.positional_embedding, std=0.3)
    return prior.eval()


def said(prior: InContextPrior, history: History) -> Tensor:
    noisy = torch.randn(1, 2, 3, DIM, generator=torch.Generator().manual_seed(0)).expand(len(history), -1, -1, -1)
    condition = prior.condition(prior.encode_history(history), torch.tensor([[1.0, -1.0]]).expand(len(history), -1))
    with torch.no_grad():
        return prior.predict(noisy, torch.tensor([[[0.4]]]), condition)


def test_padding_has_no_effect(in_context: InContextPrior) -> None:
    history = make_history(4, 6)
    columns = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK", "question_BK")
    padded = {name: torch.cat([getattr(history, name)] * 2, dim=1) for name in columns}
    padded["valid_BK"][:, 6:] = False
    padded["embeddings_BKD"][:, 6:] = torch.nan
    expected = said(in_context, history)
    torch.testing.assert_close(said(in_context, replace(history, **padded)), expected, atol=1e-5, rtol=1e-4)


def test_predictions_do_not_depend_on_the_batch(in_context: InContextPrior) -> None:
    history = make_history(4, 6)
    expected = said(in_context, history)[2:3]
    torch.testing.assert_close(said(in_context, history.take([2])), expected, atol=1e-5, rtol=1e-4)


def test_predictions_do_not_depend_on_the_order_of_storage(in_context: InContextPrior) -> None:
    history = make_history(4, 6)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    columns = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK")
    stored = replace(history, **{name: getattr(history, name)[:, order] for name in columns})
    torch.testing.assert_close(said(in_context, stored), said(in_context, history), atol=1e-5, rtol=1e-4)


def test_the_order_of_ages_matters(in_context: InContextPrior) -> None:
    history = make_history(4, 6)
    turned = replace(history, ages_BK=5 - history.ages_BK)
    assert not torch.allclose(said(in_context, turned), said(in_context, history), atol=1e-3)


def test_only_the_most_recent_fit_in_the_context(in_context: InContextPrior) -> None:
    history = make_history(3, 20)
    torch.testing.assert_close(said(in_context, history), said(in_context, history.last(8)))


OBJECTIVE = Denoising(schedule=CosineSchedule(), prediction="x0", noise_samples=2)


def test_every_weight_has_a_gradient(in_context: InContextPrior) -> None:
    total(losses(in_context.train(), OBJECTIVE, make_batch())).backward()
    assert [n for n, p in in_context.named_parameters() if p.grad is None and p.requires_grad] == []


def test_it_samples_and_ranks(in_context: InContextPrior, space: Space) -> None:
    sampler, history = Sampler(steps=3, candidates=2), make_history(3, 5)
    predictor = TrainedPredictor(model=PreferenceModel(prior=in_context), objective=OBJECTIVE, sampler=sampler)
    assert predictor.sample(history, 4, torch.Generator().manual_seed(0)).shape == (3, 4, DIM)
    catalogue = Catalogue(space, [str(i) for i in range(9)], torch.randn(9, DIM))
    assert predictor.rank(history, catalogue).shape == (3, 9)


def test_it_has_no_read_outs_for_a_retriever_to_share(in_context: InContextPrior, space: Space) -> None:
    with pytest.raises(ValueError, match=r"retriever\.encoder=own"):
        make_model(space, "shared", prior=in_context)


@pytest.mark.parametrize("kind", ["own", "identity"])
def test_it_trains_beside_a_retriever_with_its_own_user_tower(
    in_context: InContextPrior, space: Space, kind: str
) -> None:
    model = make_model(space, kind, prior=in_context)
    found = losses(model.train(), Denoising(schedule=CosineSchedule(), prediction="x0"), make_batch(users=16))
    total(found).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None and p.requires_grad] == []
