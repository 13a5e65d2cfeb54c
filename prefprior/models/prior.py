"""The prior: p(embedding of a picture this person would rate so | the pictures they rated).

Three calls, each as rare as it can be: `encode_history` once per person, `condition` once per wish (the
target's rating), `predict` once per denoising step, of any number of draws.

Shapes: B users, R read-outs, N tokens attended to, C conditions per user, S draws per condition, W encoder width,
V denoiser width, M modulation, L denoiser blocks, H heads, E head width, D dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from prefprior.data.batch import History
from prefprior.models.backbone import Backbone
from prefprior.models.blocks import EPS, GatedMLP, ModulatedBlock, ScalarFeatures
from prefprior.models.encoded import Condition, EncodedHistory
from prefprior.models.history import HistoryEncoder, packed
from prefprior.models.scores import Scores
from prefprior.space import Space, SpaceScale


class Denoiser(nn.Module):
    """The light network that runs at every step: modulated blocks over the noisy embedding, attending to the history.

    Modulation is a sum of a part that depends on time only and a part that depends on user and wish only: in sampling
    the first is computed once per step for everybody and the second once per sample, so that a step costs no more than
    the blocks themselves.
    """

    def __init__(self, *, dim: int, width: int, depth: int, heads: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, width)
        time_width = max(64, width // 4)
        self.time = ScalarFeatures(time_width)
        self.time_modulation = nn.Linear(time_width, depth * 3 * width + 2 * width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, heads, ratio, dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width, eps=EPS, elementwise_affine=False)
        self.leave = nn.Linear(width, dim)
        for layer in (self.time_modulation, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What the objective asked for (B, C, S, D); time broadcasts over (B, C, S)."""
        modulation = self.time_modulation(silu(self.time(time))) + condition.modulation_BCM[:, :, None]  # B C S M
        width = self.enter.out_features
        parts = modulation.split([*[3 * width] * len(self.blocks), 2 * width], dim=-1)
        x = self.enter(noisy_BCSD)  # B C S V
        for layer, block in enumerate(self.blocks):
            x = block(
                x, parts[layer], condition.keys_BLHNE[:, layer], condition.values_BLHNE[:, layer], condition.valid_BN
            )
        shift, scale = parts[-1].chunk(2, dim=-1)
        return self.leave(torch.addcmul(shift, self.norm(x), 1 + scale))  # B C S D


class Prior(Backbone):
    """Encode once, denoise many: history transformer, light conditional denoiser, and the scores of `rank`."""

    def __init__(
        self,
        *,
        space: Space,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        interests: int = 8,
        ratio: float = 4.0,
        denoiser_width: int = 192,
        denoiser_depth: int = 3,
        denoiser_heads: int = 4,
        denoiser_ratio: float = 3.0,
        score_dim: int = 64,
        ages: bool = True,
        read_history: bool = True,
        dropout: float = 0.0,
        frequencies: int = 0,
        frequency_spread: float = 1.0,
    ) -> None:
        """With `read_history` the denoiser attends to the encoded ratings beside the read-outs; without, to those alone
        and a step costs the same however long a history is. Beside each embedding, encoder and scores see
        `frequencies` random Fourier features of it: for a catalogue of which many people rate the same pictures."""
        super().__init__()
        for name, value in {
            "width": width,
            "depth": depth,
            "interests": interests,
            "denoiser_depth": denoiser_depth,
        }.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.space = space
        self.scale = SpaceScale(space)
        self.read_history = read_history
        self.readouts = interests + 1
        # One read-out more than interests: the first is the summary that modulates the denoiser.
        self.encoder = HistoryEncoder(
            space=space, width=width, depth=depth, heads=heads, readouts=interests + 1, ratio=ratio, dropout=dropout,
            ages=ages, frequencies=frequencies, frequency_spread=frequency_spread,
        )  # fmt: skip
        self.denoiser = Denoiser(
            dim=space.dim, width=denoiser_width, depth=denoiser_depth, heads=denoiser_heads, ratio=denoiser_ratio,
            dropout=dropout,
        )  # fmt: skip
        self.keys_values = nn.Linear(width, denoiser_depth * 2 * denoiser_width, bias=False)
        self.key_norm = nn.RMSNorm(denoiser_width // denoiser_heads, eps=EPS)
        self.rating = ScalarFeatures(width, 16)
        self.rating_unknown_W = nn.Parameter(torch.zeros(width))
        self.mix = GatedMLP(width, 4.0)
        self.mix_norm = nn.RMSNorm(width, eps=EPS)
        self.modulation = nn.Linear(width, self.denoiser.time_modulation.out_features)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        self.scores = Scores(
            space=space, width=width, dim=score_dim, frequencies=frequencies, frequency_spread=frequency_spread
        )

    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""
        return [self.encoder, self.denoiser]

    def encode_history(self, history: History) -> EncodedHistory:
        """Reads the histories, once per person."""
        history = packed(history)
        tokens_BNW, valid_BN = self.encoder(
            history.embeddings_BKD, history.ratings_BK, history.ages_BK, history.valid_BK
        )
        readouts_BRW = tokens_BNW[:, : self.readouts]
        if not self.read_history:
            tokens_BNW, valid_BN = readouts_BRW, valid_BN[:, : self.readouts]
        blocks = self.denoiser.blocks
        heads = blocks[0].heads
        kv = self.keys_values(tokens_BNW).unflatten(-1, (len(blocks), 2, heads, -1))  # B N L 2 H E
        keys, values = kv.permute(3, 0, 2, 4, 1, 5).unbind(0)  # each B L H N E
        return EncodedHistory(readouts_BRW, self.key_norm(keys).to(values.dtype), values, valid_BN)

    def null_history(self, like: History) -> EncodedHistory:
        """What the encoder says of nobody: the read-out of one empty history."""
        nobody = like.take([0])
        nobody.valid_BK = torch.zeros_like(nobody.valid_BK)
        return self.encode_history(nobody)

    def condition(self, encoded: EncodedHistory, rating_BC: Tensor, rating_known_BC: Tensor | None = None) -> Condition:
        """Users and wishes, ready for any number of denoising steps: the target's rating, where it is known."""
        rating_BCW = self.rating(rating_BC)
        if rating_known_BC is not None:
            rating_BCW = torch.where(rating_known_BC[..., None], rating_BCW, self.rating_unknown_W.to(rating_BCW.dtype))
        mixed = encoded.readouts_BRW[:, :1] + rating_BCW  # B C W
        mixed = mixed + self.mix(self.mix_norm(mixed))
        return Condition(self.modulation(silu(mixed)), encoded.keys_BLHNE, encoded.values_BLHNE, encoded.valid_BN)

    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """One denoising step in the space's model scale; what the output means is the objective's affair."""
        return self.denoiser(noisy_BCSD, time, condition)
