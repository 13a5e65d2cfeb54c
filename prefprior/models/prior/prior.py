"""The generator: p(embedding of a picture this user would rate so | their history).

Three calls, each as rare as it can be: `encode_history` once per user, `condition` once per wish (the target's rating),
`predict` once per denoising step, for any number of noise samples.

Shapes: B users, R read-outs, I user tokens, N tokens attended to, C conditions per user, S noise samples per condition,
W encoder width, M modulation, L denoiser blocks, H heads, E head width, D dimension.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from prefprior.errors import require_between
from prefprior.history import History
from prefprior.models.preparation import TrainingData
from prefprior.models.prior.choice_features import questions
from prefprior.models.prior.conditions import Condition, EncodedHistory
from prefprior.models.prior.cpu_kernels import RMSNorm
from prefprior.models.prior.denoiser import Denoiser, DenoiserSize
from prefprior.models.prior.history_encoder import HistoryEncoder
from prefprior.models.prior.layers import EPS, GatedMLP, ScalarFeatures
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.user_ids import UserIds
from prefprior.models.scale import Standardize
from prefprior.space import Space


class Prior(PriorNetwork):
    """Encode once, denoise many: a history transformer and a light conditional denoiser."""

    takes_user_tokens = True

    def __init__(
        self,
        *,
        space: Space,
        scale: Standardize | None = None,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        readouts: int = 9,
        denoiser: DenoiserSize | None = None,
        ages: bool = True,
        read_history: bool = True,
        text: bool = False,
        user_ids: int = 0,
        dropout: float = 0.0,
    ) -> None:
        """`readouts` are learned tokens that summarise a history; the first one modulates the denoiser. With
        `read_history` the denoiser attends to the encoded ratings beside the read-outs; without, to the read-outs
        alone, and a step costs the same however long a history is. `text` adds a text as a condition, `user_ids` a
        learned token for each of so many training users (as REBECA, arXiv:2502.03966)."""
        super().__init__()
        for name, value in {"width": width, "depth": depth, "heads": heads, "readouts": readouts}.items():
            require_between(f"prior.{name}", value, 1, 1024 if name in ("depth", "heads") else 65_536)
        require_between("prior.user_ids", user_ids, 0, 2**31)
        if not 0 <= dropout < 1:
            raise ValueError(f"prior.dropout must be in [0, 1), got {dropout}")
        size = denoiser or DenoiserSize()
        self.space = space
        self.scale = scale or Standardize(space=space)
        self.width, self.readouts, self.read_history = width, readouts, read_history
        self.text, self.user_ids = text, user_ids
        self.encoder = HistoryEncoder(
            scale=self.scale, width=width, depth=depth, heads=heads, readouts=readouts, dropout=dropout, ages=ages,
            user_ids=user_ids,
        )  # fmt: skip
        self.denoiser = Denoiser(dim=space.dim, size=size, dropout=dropout)
        self.keys_values = nn.Linear(width, size.depth * 2 * size.width, bias=False)
        self.key_norm = RMSNorm(size.width // size.heads, eps=EPS)
        self.rating = ScalarFeatures(width, 16)
        self.rating_unknown_W = nn.Parameter(torch.zeros(width))
        self.text_proj = nn.Linear(space.dim, width) if text else None
        self.known_users = UserIds(user_ids) if user_ids else None
        self.mix = GatedMLP(width, 4.0)
        self.mix_norm = RMSNorm(width, eps=EPS)
        self.modulation = nn.Linear(width, self.denoiser.time_modulation.out_features)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)

    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""
        return [self.encoder, self.denoiser]

    def prepare(self, data: TrainingData) -> None:
        """Learns who the training users are, where they are known by id."""
        super().prepare(data)
        if self.known_users is not None:
            self.known_users.learn(data.users("train"))

    def encode_history(self, history: History, user_tokens_BIW: Tensor | None = None) -> EncodedHistory:
        """Encodes the histories, once per user.

        `user_tokens_BIW` are those of a retriever's own user tower: the denoiser attends to them, and their mean is
        added to the summary. They are 0 for an empty history, which adds nothing.
        """
        history = history.packed()
        user_B = None if self.known_users is None else self.known_users(history.users)
        tokens_BNW, valid_BN = self.encoder(
            history.embeddings_BKD, history.ratings_BK, history.ages_BK, history.valid_BK, questions(history), user_B
        )
        readouts_BRW, rest_BNW = tokens_BNW.split([self.readouts, tokens_BNW.shape[1] - self.readouts], dim=1)
        valid_rest_BN = valid_BN[:, self.readouts :]
        if not self.read_history:
            rest_BNW, valid_rest_BN = rest_BNW[:, :0], valid_rest_BN[:, :0]
        if user_tokens_BIW is not None:
            summary_B1W = readouts_BRW[:, :1] + user_tokens_BIW.mean(1, keepdim=True)
            readouts_BRW = torch.cat([summary_B1W, readouts_BRW[:, 1:], user_tokens_BIW], dim=1)
        if user_tokens_BIW is not None or not self.read_history:
            tokens_BNW = torch.cat([readouts_BRW, rest_BNW], dim=1)
            valid_BN = torch.cat([valid_BN.new_ones(readouts_BRW.shape[:2]), valid_rest_BN], dim=1)
        blocks = self.denoiser.blocks
        parts = rearrange(
            self.keys_values(tokens_BNW), "b n (kv l h e) -> kv l b h n e", kv=2, l=len(blocks), h=blocks[0].heads
        )
        keys = tuple(self.key_norm(part_BHNE).to(part_BHNE.dtype) for part_BHNE in parts[0])
        return EncodedHistory(readouts_BRW[:, : self.readouts], valid_BN, keys, tuple(parts[1]))

    def condition(
        self,
        encoded: EncodedHistory,
        rating_BC: Tensor,
        rating_known_BC: Tensor | None = None,
        text_BCD: Tensor | None = None,
        text_known_BC: Tensor | None = None,
    ) -> Condition:
        """Encoded users and conditions, ready for any number of denoising steps."""
        rating_BCW = self.rating(rating_BC)
        if rating_known_BC is not None:
            rating_BCW = torch.where(rating_known_BC[..., None], rating_BCW, self.rating_unknown_W.to(rating_BCW.dtype))
        mixed_BCW = encoded.readouts_BRW[:, :1] + rating_BCW
        if text_BCD is not None:
            mixed_BCW = mixed_BCW + self._text_tokens(text_BCD, text_known_BC)
        mixed_BCW = mixed_BCW + self.mix(self.mix_norm(mixed_BCW))
        return Condition(self.modulation(silu(mixed_BCW)), encoded.valid_BN, encoded.keys_BHNE, encoded.values_BHNE)

    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """One denoising step in model scale; the objective says what the output means."""
        return self.denoiser(noisy_BCSD, time, condition)

    def _text_tokens(self, text_BCD: Tensor, known_BC: Tensor | None) -> Tensor:
        """(B, C, W) what a text adds; 0 where it is unknown, so that a dropped text and no text are the same."""
        if self.text_proj is None:
            raise ValueError("this prior was trained without texts; train with prior.text=true")
        # A text's length carries no meaning, and at norm sqrt(D) it is as large as a scaled picture.
        scaled_BCD = normalize(text_BCD, dim=-1) * text_BCD.shape[-1] ** 0.5
        token_BCW = self.text_proj(scaled_BCD)
        return token_BCW if known_BC is None else torch.where(known_BC[..., None], token_BCW, 0)
