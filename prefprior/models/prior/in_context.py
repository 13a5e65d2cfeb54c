"""The in-context prior: the noisy embedding is a token among the history's, and every step reads all of them.

The layout, names of weights included, is that of diffusers' `PriorTransformer` (DALL-E 2, arXiv:2204.06125), so that
the published Kandinsky 2.2 and ECLIPSE priors can be its start: where they have a prompt's tokens, we have rated
pictures. Far more costly a step than `prior.Prior`; it is here for those weights, and as the thing to beat.

Shapes: B users, K history, C conditions per user, S draws, N tokens, W width, D dimension, P sequences in a step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention, silu

from prefprior.errors import require_between
from prefprior.history import History
from prefprior.models.prior.choice_features import ChoiceFeatures, questions
from prefprior.models.prior.layers import ScalarFeatures
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.scale import Standardize
from prefprior.space import Space

EXTRA = 3  # tokens beside the history: prompt, noisy embedding, read-out; and the time, where there is one


class Attention(nn.Module):
    """Multi-head attention with the names of diffusers' `Attention`."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Dropout(dropout)])

    def forward(self, x_PNW: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (f(x_PNW).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.to_q, self.to_k, self.to_v))
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out[1](self.to_out[0](mixed.transpose(1, 2).flatten(2)))


class Gelu(nn.Module):
    """Linear and GELU, with the name of diffusers' `GELU`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(self.proj(x))


class FeedForward(nn.Module):
    """MLP with the names of diffusers' `FeedForward`."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.ModuleList([Gelu(width), nn.Dropout(dropout), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[1](self.net[0](x)))


class Block(nn.Module):
    """Pre-norm block with the names of diffusers' `BasicTransformerBlock`."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads, dropout)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, dropout)

    def forward(self, x_PNW: Tensor, mask: Tensor) -> Tensor:
        x_PNW = x_PNW + self.attn1(self.norm1(x_PNW), mask)
        return x_PNW + self.ff(self.norm3(x_PNW))


class TimeEmbedding(nn.Module):
    """MLP with the names of diffusers' `TimestepEmbedding`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, step_P: Tensor) -> Tensor:
        half = self.linear_1.in_features // 2
        frequency = torch.exp(-torch.arange(half, device=step_P.device) * (torch.log(torch.tensor(1e4)) / half))
        angle = step_P[:, None].float() * frequency
        features = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return self.linear_2(silu(self.linear_1(features)))


class InContextNetwork(nn.Module):
    """Context tokens, a prompt, a time and a noisy embedding in, a prediction out; causal, as published."""

    causal: Tensor

    def __init__(
        self, *, dim: int, width: int, depth: int, heads: int, context: int, time: bool, dropout: float
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.context = context
        self.extra = EXTRA + time
        self.time_embedding = TimeEmbedding(width) if time else None
        self.proj_in = nn.Linear(dim, width)
        self.embedding_proj = nn.Linear(dim, width)
        self.encoder_hidden_states_proj = nn.Linear(dim, width)
        self.positional_embedding = nn.Parameter(torch.zeros(1, context + self.extra, width))
        self.prd_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer_blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm_out = nn.LayerNorm(width)
        self.proj_to_clip_embeddings = nn.Linear(width, dim)
        length = context + self.extra
        self.register_buffer("causal", torch.ones(length, length).tril().bool(), persistent=False)

    def forward(
        self,
        noisy_PD: Tensor,
        step_P: Tensor,
        prompt_PW: Tensor,
        context_PKW: Tensor,
        valid_PK: Tensor,
        extra_PW: Tensor,
        question_PK: Tensor | None = None,
    ) -> Tensor:
        """Prediction (P, D). Prompt and context are projected already.

        Items of one question (`question_PK` above 0, side by side) have one place, that of its newest item, and see
        each other: in which order they were shown changes nothing.

        `extra_PW` is added to the time's token, or to the prompt's where a network has no time.
        """
        before = [prompt_PW + extra_PW]
        if self.time_embedding is not None:
            before = [prompt_PW, self.time_embedding(step_P) + extra_PW]
        single = torch.stack([*before, self.proj_in(noisy_PD)], dim=1)
        tokens = [context_PKW, single, self.prd_embedding.expand(len(noisy_PD), -1, -1)]
        # A context shorter than what the network was made for has the last places: those nearest to what is asked.
        length = context_PKW.shape[1] + self.extra
        place_1NW = self.positional_embedding[:, -length:]
        x_PNW = torch.cat(tokens, dim=1) + (
            place_1NW if question_PK is None else place_1NW[0][_last_of(question_PK, length)]
        )
        seen_PN = pad(valid_PK, (0, self.extra), value=True)
        # Everything sees itself: a padding token that saw nothing would become NaN, and 0 * NaN is NaN.
        itself = torch.eye(length, dtype=torch.bool, device=seen_PN.device)
        causal = self.causal[-length:, -length:]
        if question_PK is not None:
            asked_PN = pad(question_PK, (0, self.extra))
            causal = causal | ((asked_PN[:, :, None] == asked_PN[:, None]) & (asked_PN > 0)[:, None])
        mask = (causal & seen_PN[:, None] | itself)[:, None]  # P 1 N N
        for block in self.transformer_blocks:
            x_PNW = block(x_PNW, mask)
        return self.proj_to_clip_embeddings(self.norm_out(x_PNW)[:, -1])


def _last_of(question_PK: Tensor, length: int) -> Tensor:
    """(P, N) the last place of each token's question; its own place for a rating and what comes after the history."""
    asked_PN = pad(question_PK, (0, length - question_PK.shape[1]))
    place_N = torch.arange(length, device=asked_PN.device)
    same_PNN = (asked_PN[:, :, None] == asked_PN[:, None]) & (asked_PN > 0)[:, None]
    return torch.where(asked_PN > 0, torch.where(same_PNN, place_N, 0).amax(2), place_N)


@dataclass
class Context:
    """Histories as tokens: all there is to encode once in this architecture."""

    tokens_BKW: Tensor  # oldest first
    valid_BK: Tensor
    question_BK: Tensor | None = None  # where there are choices: 0 for a rating

    def __len__(self) -> int:
        return len(self.tokens_BKW)

    def expand(self, count: int) -> "Context":
        """One context, for `count` users."""
        question_BK = None if self.question_BK is None else self.question_BK.expand(count, -1)
        return Context(self.tokens_BKW.expand(count, -1, -1), self.valid_BK.expand(count, -1), question_BK)

    def joined(self, others: list["Context"]) -> "Context":
        """This and others, one after the other, padded at the front to one length."""
        every = [self, *others]
        longest = max(context.valid_BK.shape[1] for context in every)
        missing = [longest - context.valid_BK.shape[1] for context in every]
        return Context(
            torch.cat([pad(c.tokens_BKW, (0, 0, m, 0)) for c, m in zip(every, missing)]),
            torch.cat([pad(c.valid_BK, (m, 0)) for c, m in zip(every, missing)]),
            None
            if all(c.question_BK is None for c in every)
            else torch.cat(
                [
                    pad(
                        torch.zeros_like(c.valid_BK, dtype=torch.long) if c.question_BK is None else c.question_BK,
                        (m, 0),
                    )
                    for c, m in zip(every, missing)
                ]
            ),
        )


@dataclass
class ContextCondition:
    """Histories and conditions."""

    context: Context
    extra_BCW: Tensor
    prompt_BCW: Tensor


class InContextPrior(PriorNetwork):
    """The same three calls as `Prior`, but `predict` is the whole network. It has no read-outs to share."""

    origin: str | None = None  # where it started from published weights: what of them was taken over

    def __init__(
        self,
        *,
        space: Space,
        scale: Standardize | None = None,
        width: int = 512,
        depth: int = 6,
        heads: int = 8,
        context: int = 77,
        time: bool = True,
        steps_of_time: int = 1000,
        step_offset: float = 0.008,
        text: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """The published priors count `steps_of_time` times with a cosine schedule of `step_offset`. With `text`, what a
        wish says in words has the token of their prompts.

        Without `time` the network is not told how much noise there is, as ECLIPSE's, which answers at once.
        """
        super().__init__()
        for name, value in {"width": width, "depth": depth, "heads": heads, "context": context}.items():
            require_between(f"prior.{name}", value, 1, 1024 if name in ("depth", "heads") else 65_536)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.space = space
        self.scale = scale or Standardize(space=space)
        self.width, self.user_ids = width, 0
        self.steps_of_time = steps_of_time
        self.step_offset = step_offset
        self.network = InContextNetwork(
            dim=space.dim, width=width, depth=depth, heads=heads, context=context, time=time, dropout=dropout
        )
        self.rating = ScalarFeatures(width, 16)
        self.choices = ChoiceFeatures(space.dim, width)
        self.target_rating = ScalarFeatures(width, 16)
        self.target_unknown_W = nn.Parameter(torch.zeros(width))
        self.text = text
        if not text:  # what projects prompts stays as it is (and DDP waits for no gradient of it)
            self.network.embedding_proj.weight.requires_grad_(False)
        for added in (self.rating, self.target_rating):  # at the start, published weights do what they did
            nn.init.zeros_(added.leave.weight)
            nn.init.zeros_(added.leave.bias)

    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""
        return [self.network]

    def encode_history(self, history: History, user_tokens_BIW: Tensor | None = None) -> Context:
        """The most recent ratings as tokens, oldest first."""
        history = history.last(self.network.context).packed()
        backwards = torch.arange(history.valid_BK.shape[1] - 1, -1, -1, device=history.valid_BK.device)
        valid_BK = history.valid_BK[:, backwards]
        pictures_BKD = torch.where(valid_BK[..., None], self.scale.to_model(history.embeddings_BKD[:, backwards]), 0)
        ratings_BK = torch.where(valid_BK, history.ratings_BK[:, backwards], 0)
        question_BK = questions(history)
        question_BK = None if question_BK is None else question_BK[:, backwards]
        tokens_BKW = self.network.encoder_hidden_states_proj(pictures_BKD) + self.rating(ratings_BK)
        tokens_BKW = tokens_BKW + self.choices(pictures_BKD, ratings_BK, question_BK)
        return Context(tokens_BKW, valid_BK, question_BK)

    def condition(
        self,
        encoded: Context,
        rating_BC: Tensor,
        rating_known_BC: Tensor | None = None,
        text_BCD: Tensor | None = None,
        text_known_BC: Tensor | None = None,
    ) -> ContextCondition:
        """The target's rating and text, where they are known."""
        target_BCW = self.target_rating(rating_BC)
        if rating_known_BC is not None:
            target_BCW = torch.where(rating_known_BC[..., None], target_BCW, self.target_unknown_W.to(target_BCW.dtype))
        proj = self.network.embedding_proj
        prompt_BCW = proj.bias.expand(target_BCW.shape)  # no prompt: the projection of nothing
        if text_BCD is not None:
            if not self.text:
                raise ValueError("this prior was trained without texts; train with prior.text=true")
            said_BCW = proj(text_BCD)
            prompt_BCW = (
                said_BCW
                if text_known_BC is None
                else torch.where(text_known_BC[..., None], said_BCW, prompt_BCW.to(said_BCW.dtype))
            )
        return ContextCondition(encoded, target_BCW, prompt_BCW)

    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: ContextCondition) -> Tensor:
        """One denoising step: the transformer over every sequence of context and noisy embedding."""
        shape = noisy_BCSD.shape
        each = shape[1] * shape[2]
        # Our time is the angle of the cosine schedule; theirs counts steps, and starts a little into it.
        angle = time.expand(shape[:3]).flatten()
        step_P = (self.steps_of_time * ((1 + self.step_offset) * angle - self.step_offset) - 1).clamp(min=0)
        extra_PW, prompt_PW = (
            part_BCW[:, :, None].expand(*shape[:3], -1).flatten(0, 2)
            for part_BCW in (condition.extra_BCW, condition.prompt_BCW)
        )
        context = condition.context
        out_PD = self.network(
            noisy_BCSD.flatten(0, 2),
            step_P,
            prompt_PW,
            context.tokens_BKW.repeat_interleave(each, 0),
            context.valid_BK.repeat_interleave(each, 0),
            extra_PW,
            None if context.question_BK is None else context.question_BK.repeat_interleave(each, 0),
        )
        return out_PD.view(shape)
