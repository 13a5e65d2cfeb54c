"""Trains the miniature CLIP: open_clip's model and loss on rendered pictures and their captions.

A picture can be found among a few hundred by its colours alone, and then nothing makes the model look at the rest.
Three things do. Captions are given with phrases dropped and shuffled. Each picture is also told apart, within every
factor, by that factor's phrases alone, as zero-shot classification will do it. And before any word is read, a linear
layer on the embedding, thrown away afterwards, names the factors: words whose embeddings are still all alike teach
very slowly.

Shapes: N pictures of a batch, F factors, W words of the longest phrase, T tokens of the context, L phrases of a factor,
P all phrases, D dim of the embedding.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from tqdm import tqdm

from prefprior.files import written_whole
from prefprior.world import clip
from prefprior.world.build.progress import Progress
from prefprior.world.render.captions import TABLE, levels
from prefprior.world.render.factors import NAMES, Factors, draw_factors
from prefprior.world.render.pictures import SIDE, render
from prefprior.world.tokenizer import PAD, START, WorldTokenizer

EMBEDDING = 64
# Parameters of open_clip's model that belong to the text tower, by how their names begin.
WORDS = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "logit_scale")


class CaptionSampler:
    """Draws training captions as token ids: some or all phrases of each picture, in random order."""

    def __init__(self, *, factors: Factors, tokenizer: WorldTokenizer, full: float = 0.25) -> None:
        """`full` is the share of captions that keep every phrase."""
        encoded = {name: [tokenizer.encode(phrase) for phrase in phrases] for name, phrases in TABLE.items()}
        widest = max(len(ids) for phrases in encoded.values() for ids in phrases)
        most = max(len(phrases) for phrases in encoded.values())
        phrase_FLW = torch.full((len(NAMES), most, widest), PAD)
        for f, name in enumerate(NAMES):
            for level, ids in enumerate(encoded[name]):
                phrase_FLW[f, level, : len(ids)] = torch.tensor(ids)
        self.phrase_FLW = phrase_FLW
        self.level_NF = torch.from_numpy(np.stack([levels(factors, name) for name in NAMES], axis=1))
        self.tokenizer = tokenizer
        self.full = full

    def __call__(self, index_N: Tensor, generator: torch.Generator) -> Tensor:
        """Token ids (N, T) of one caption for each chosen picture."""
        n, count = len(index_N), len(NAMES)
        keep_N = torch.randint(1, count + 1, (n,), generator=generator)
        keep_N[torch.rand(n, generator=generator) < self.full] = count
        order_NF = torch.rand(n, count, generator=generator).argsort(1)
        words_NFW = self.phrase_FLW[order_NF, self.level_NF[index_N].gather(1, order_NF)]
        words_NFW = words_NFW.masked_fill((torch.arange(count) >= keep_N[:, None])[:, :, None], PAD)
        # Close the gaps: a stable sort on "is padding" moves the words to the front in their order.
        flat = words_NFW.flatten(1)
        flat = flat.gather(1, (flat == PAD).long().argsort(dim=1, stable=True))
        tokens_NT = torch.full((n, self.tokenizer.context_length), PAD)
        length = min(flat.shape[1], self.tokenizer.context_length - 2)
        tokens_NT[:, 0] = START
        tokens_NT[:, 1 : 1 + length] = flat[:, :length]
        tokens_NT[torch.arange(n), 1 + (flat != PAD).sum(1)] = self.tokenizer.end
        return tokens_NT


def factor_losses(logits_NP: Tensor, level_NF: Tensor) -> Tensor:
    """Cross-entropy of each factor's right phrase against the factor's other phrases, (F,)."""
    parts = logits_NP.split([len(TABLE[name]) for name in NAMES], dim=1)
    return torch.stack([F.cross_entropy(part, level_NF[:, f]) for f, part in enumerate(parts)])


def training_set(n: int, seed: int, cache: Path) -> tuple[Factors, np.ndarray]:
    """Factors and pictures to train on; the pictures are kept in the cache folder, to be read again."""
    factors = draw_factors(n, torch.Generator().manual_seed(seed))
    path = cache / f"pictures-{seed}-{n}.npy"
    if not path.is_file():
        with written_whole(path) as part:
            memory = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n, SIDE, SIDE, 3))
            for start in tqdm(range(0, n, 2000), desc="rendering", unit="2,000"):
                chosen = slice(start, start + 2000)
                memory[chosen] = render(factors.take(chosen), np.arange(n)[chosen] + (seed << 32))
            memory.flush()
    return factors, np.load(path, mmap_mode="r")


def _parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameters by rate and decay: normalised convolutions bear, and want, a higher rate than a transformer."""
    groups = []
    for peak, words in ((6e-3, False), (1.5e-3, True)):
        chosen = [p for name, p in model.named_parameters() if name.startswith(WORDS) == words]
        groups.append({"params": [p for p in chosen if p.ndim >= 2], "weight_decay": 0.05, "peak": peak})
        groups.append({"params": [p for p in chosen if p.ndim < 2], "weight_decay": 0.0, "peak": peak})
    return groups


def train_clip(
    *,
    weights: Path,
    cache: Path,
    steps: int = 1300,
    batch: int = 384,
    pairs: int = 192,
    wordless_steps: int = 300,
    pictures: int = 120_000,
    seed: int = 1,
) -> None:
    """Train and write the weights; an interrupted training goes on from its last kept state.

    All pictures of a batch meet the phrases, the first `pairs` also meet their captions (text is half the cost).
    """
    torch.manual_seed(seed)  # open_clip initialises from the global generator
    generator = torch.Generator().manual_seed(seed)
    factors, pictures_NYXC = training_set(pictures, seed, cache)
    model, tokenizer = clip.create()
    model = model.to(memory_format=torch.channels_last).train()
    captions = CaptionSampler(factors=factors, tokenizer=tokenizer)
    phrases_PT = tokenizer([phrase for name in NAMES for phrase in TABLE[name]])
    reader = nn.Sequential(nn.BatchNorm1d(EMBEDDING, affine=False), nn.Linear(EMBEDDING, len(phrases_PT)))
    optimizer = torch.optim.AdamW([*_parameter_groups(model), *_parameter_groups(reader)], betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=[group["peak"] for group in optimizer.param_groups], total_steps=steps, pct_start=0.08
    )
    progress = Progress(
        path=cache / "clip-training.pt",
        parts={"model": model, "reader": reader, "optimizer": optimizer, "schedule": schedule},
        generator=generator,
    )
    first = progress.restore()

    loss_of, means = ClipLoss(), {"read": 1.9, "told": 1.9, "pairs": 5.0}
    with tqdm(range(first, steps), initial=first, total=steps, desc="clip", mininterval=10.0) as bar:
        for step in bar:
            index_N = torch.randint(pictures, (batch,), generator=generator)
            level_NF = captions.level_NF[index_N]
            image = clip.normalised(pictures_NYXC[index_N.numpy()]).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                image_ND = model.encode_image(image).float()
            read_F = factor_losses(reader(image_ND), level_NF)
            loss = 2.0 * read_F.mean()
            if step >= wordless_steps:
                tokens_NT = torch.cat([captions(index_N[:pairs], generator), phrases_PT])
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    text_ND = model.encode_text(tokens_NT, normalize=True).float()
                image_ND, scale = F.normalize(image_ND, dim=-1), model.logit_scale.exp()
                paired = loss_of(image_ND[:pairs], text_ND[:pairs], scale)
                told_F = factor_losses(scale * image_ND @ text_ND[pairs:].T, level_NF)
                loss = loss + paired + 2.0 * told_F.mean()
                means["pairs"] += 0.05 * (paired.item() - means["pairs"])
                means["told"] += 0.05 * (told_F.mean().item() - means["told"])
            means["read"] += 0.05 * (read_F.mean().item() - means["read"])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=float(np.log(100.0)))
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()}, refresh=False)
            progress.keep(step + 1)
    clip.save(model, tokenizer, weights)
    progress.done()
