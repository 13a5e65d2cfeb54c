"""The prior: p(embedding of a picture this person would rate so | the pictures they rated).

Three calls, each as rare as it can be: `encode_history` once per person, `condition` once per wish (the
target's rating), `predict` once per denoising step, of any number of draws.

Shapes: B users, R read-outs, N tokens attended to, C conditions per user, S draws per condition, W encoder width,
V denoiser width, M modulation, L denoiser blocks, H heads, E head width, D dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from prefprior.history import History
from prefprior.models.prior.conditions import Condition, EncodedHistory
from prefprior.models.prior.cpu_kernels import RMSNorm
from prefprior.models.prior.history_encoder import HistoryEncoder, packed
from prefprior.models.prior.layers import EPS, GatedMLP, ModulatedBlock, ScalarFeatures
from prefprior.models.prior.network import Backbone
from prefprior.models.prior.user_ids import NOBODY, KnownPeople
from prefprior.models.retriever.cold_start import KnownPictures
from prefprior.models.retriever.item_features import Recognition
from prefprior.models.retriever.two_tower import Scores
from prefprior.space import Space, SpaceScale, WhitenedScale


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
        self.norm = RMSNorm(width, eps=EPS, elementwise_affine=False)
        self.leave = nn.Linear(width, dim)
        for layer in (self.time_modulation, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What the objective asked for (B, C, S, D); time broadcasts over (B, C, S)."""
        modulation = self.time_modulation(silu(self.time(time))) + condition.modulation_BCM[:, :, None]  # B C S M
        # Cut once into all its parts: each cut costs backward a tensor of the whole size.
        *parts, shift, scale = modulation.chunk(3 * len(self.blocks) + 2, dim=-1)  # each B C S V
        x = self.enter(noisy_BCSD)  # B C S V
        for layer, block in enumerate(self.blocks):
            keys_BHNE, values_BHNE = condition.keys_BHNE[layer], condition.values_BHNE[layer]
            x = block(x, *parts[3 * layer : 3 * layer + 3], keys_BHNE, values_BHNE, condition.valid_BN)
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
        text: bool = False,
        people: int = 0,
        dropout: float = 0.0,
        frequencies: int = 0,
        frequency_spread: float = 1.0,
        members: int = 1,
        pictures: int = 0,
        whitened: bool = False,
    ) -> None:
        """With `read_history` the denoiser attends to the encoded ratings beside the read-outs; without, to those alone
        and a step costs the same however long a history is. With `text`, what is wished for may also be said in words.
        `people` is how many may be known by their id, beside what they rated (REBECA's way, arXiv:2502.03966). With
        `frequencies`, single pictures are known, by so many random Fourier features of each, and that alone says what a
        person looks for: for a catalogue of which many people rate the same pictures. So many `members` score pictures,
        each with `interests` read-outs and towers, and where there are frequencies random ones, of its own; `rank`
        takes their mean. Of so many `pictures` is known that they were rated in training, so that `sampler.new_share`
        can rank others apart. `whitened` is of model scale, in which it answers: in it all directions along which
        pictures vary count about alike."""
        super().__init__()
        for name, value in {
            "width": width,
            "depth": depth,
            "interests": interests,
            "members": members,
            "denoiser_depth": denoiser_depth,
        }.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if frequencies < 0:
            raise ValueError(f"frequencies cannot be below 0, got {frequencies}")
        if people < 0 or pictures < 0:
            raise ValueError(f"people and pictures cannot be below 0, got {people} and {pictures}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.space = space
        self.scale = WhitenedScale(space) if whitened else SpaceScale(space)
        self.whitened = whitened
        self.read_history = read_history
        self.text, self.people, self.pictures = text, people, pictures
        # One read-out more than interests: the first is the summary that modulates the denoiser.
        self.readouts = interests * members + 1
        recognised = 2 * width if frequencies else 0
        self.encoder = HistoryEncoder(
            space=space, width=width, depth=depth, heads=heads, readouts=self.readouts, ratio=ratio, dropout=dropout,
            ages=ages, people=people, recognised=recognised, recognitions=members,
        )  # fmt: skip
        self.denoiser = Denoiser(
            dim=space.dim, width=denoiser_width, depth=denoiser_depth, heads=denoiser_heads, ratio=denoiser_ratio,
            dropout=dropout,
        )  # fmt: skip
        self.keys_values = nn.Linear(width, denoiser_depth * 2 * denoiser_width, bias=False)
        self.key_norm = RMSNorm(denoiser_width // denoiser_heads, eps=EPS)
        self.rating = ScalarFeatures(width, 16)
        self.rating_unknown_W = nn.Parameter(torch.zeros(width))
        self.words = nn.Linear(space.dim, width) if text else None
        self.known_people = KnownPeople(people) if people else None
        self.known_pictures = KnownPictures(pictures) if pictures else None
        self.mix = GatedMLP(width, 4.0)
        self.mix_norm = RMSNorm(width, eps=EPS)
        self.modulation = nn.Linear(width, self.denoiser.time_modulation.out_features)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        recognitions: list[Recognition | None] = [None] * members
        if frequencies:
            recognitions = [
                Recognition(
                    space=space, frequencies=frequencies, spread=frequency_spread, width=recognised, dropout=dropout
                )
                for _ in range(members)
            ]
        self.scores: Scores = Scores(
            space=space, width=width, dim=score_dim, interests=interests, recognitions=recognitions
        )

    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""
        return [self.encoder, self.denoiser]

    def learn_people(self, users: list[str]) -> None:
        """Gives each of these people a row, by which they are known from now on."""
        assert self.known_people is not None, "a prior of people=0 knows nobody"
        self.known_people.learn(users)

    def learn_pictures(self, embeddings_ID: Tensor, rated_I: Tensor) -> None:
        """Knows those pictures of a table that are marked as rated; all others are new to it from now on."""
        assert self.known_pictures is not None, "a prior of pictures=0 knows none"
        self.known_pictures.learn(embeddings_ID, rated_I)

    def learn_scale(self, embeddings_ID: Tensor) -> None:
        """Whitens its model scale by these pictures."""
        assert isinstance(self.scale, WhitenedScale), "the scale of a prior of whitened=False is the space's own"
        self.scale.learn(embeddings_ID)

    def encode_history(self, history: History) -> EncodedHistory:
        """Reads the histories, once per person."""
        history = packed(history)
        person_B = None if self.known_people is None else self.known_people(history.users)
        recognised = [recognition.of_history(history) for recognition in self.scores.recognitions]
        tokens_BNW, valid_BN = self.encoder(
            history.embeddings_BKD, history.ratings_BK, history.ages_BK, history.valid_BK, person_B, recognised
        )
        readouts_BRW = tokens_BNW[:, : self.readouts]
        if not self.read_history:
            tokens_BNW, valid_BN = readouts_BRW, valid_BN[:, : self.readouts]
        blocks = self.denoiser.blocks
        heads = blocks[0].heads
        # 2 L times B H N E, keys first
        parts = [
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in self.keys_values(tokens_BNW).chunk(2 * len(blocks), dim=-1)
        ]
        keys = tuple(self.key_norm(part).to(part.dtype) for part in parts[: len(blocks)])
        return EncodedHistory(readouts_BRW, valid_BN, keys, tuple(parts[len(blocks) :]))

    def null_history(self, like: History) -> EncodedHistory:
        """What the encoder says of nobody: the read-out of one empty history."""
        nobody = like.take([0])
        nobody.valid_BK = torch.zeros_like(nobody.valid_BK)
        nobody.users = [NOBODY]
        return self.encode_history(nobody)

    def condition(
        self,
        encoded: EncodedHistory,
        rating_BC: Tensor,
        rating_known_BC: Tensor | None = None,
        text_BCD: Tensor | None = None,
        text_known_BC: Tensor | None = None,
    ) -> Condition:
        """Users and wishes, ready for any number of denoising steps."""
        rating_BCW = self.rating(rating_BC)
        if rating_known_BC is not None:
            rating_BCW = torch.where(rating_known_BC[..., None], rating_BCW, self.rating_unknown_W.to(rating_BCW.dtype))
        mixed = encoded.readouts_BRW[:, :1] + rating_BCW  # B C W
        if text_BCD is not None:
            mixed = mixed + self._said(text_BCD, text_known_BC)
        mixed = mixed + self.mix(self.mix_norm(mixed))
        return Condition(self.modulation(silu(mixed)), encoded.valid_BN, encoded.keys_BHNE, encoded.values_BHNE)

    def _said(self, text_BCD: Tensor, known_BC: Tensor | None) -> Tensor:
        """What a text adds to a wish; nothing where it is not known, so that no text and no words are one."""
        if self.words is None:
            raise ValueError("this prior was not trained with texts: prior.text=true")
        # A text's length says nothing about what it says, and at norm sqrt(D) it is as large as a scaled picture.
        scaled_BCD = normalize(text_BCD, dim=-1) * text_BCD.shape[-1] ** 0.5
        said_BCW = self.words(scaled_BCD)
        return said_BCW if known_BC is None else torch.where(known_BC[..., None], said_BCW, 0)

    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """One denoising step in model scale; what the output means is the objective's affair."""
        return self.denoiser(noisy_BCSD, time, condition)
