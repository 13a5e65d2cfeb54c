"""Trains the miniature CLIP: open_clip's model and loss on rendered pictures and their captions.

Captions are given with phrases dropped and shuffled: told in full, a picture can be found among a few hundred by its
colours alone, and nothing would make the model look at the rest.

Shapes: N pictures of a batch, F factors, W words of the longest phrase, T tokens of the context, L phrases of a factor.
"""

import time
from pathlib import Path

import numpy as np
import torch
from open_clip.loss import ClipLoss
from torch import Tensor
from tqdm import tqdm

from prefprior.world import clip
from prefprior.world.captions import TABLE, levels
from prefprior.world.factors import NAMES, Factors, draw_factors
from prefprior.world.pictures import SIDE, render
from prefprior.world.tokenizer import PAD, START, WorldTokenizer

# Seen within a hundred steps, and enough to tell most pictures of a batch apart; dropped more often than the others.
LOUD = ("hue", "saturation", "tone", "border")


class CaptionSampler:
    """Draws training captions as token ids: some or all phrases of each picture, in random order."""

    def __init__(self, *, factors: Factors, tokenizer: WorldTokenizer, full: float = 0.2) -> None:
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
        self.loud_F = torch.tensor([name in LOUD for name in NAMES])
        self.tokenizer = tokenizer
        self.full = full

    def __call__(self, index_N: Tensor, generator: torch.Generator) -> Tensor:
        """Token ids (N, T) of one caption for each chosen picture."""
        n, count = len(index_N), len(NAMES)
        keep_N = torch.randint(1, count + 1, (n,), generator=generator)
        keep_N[torch.rand(n, generator=generator) < self.full] = count
        chance_NF = torch.rand(n, count, generator=generator)
        again_NF = torch.rand(n, count, generator=generator)
        chance_NF = torch.where(self.loud_F, torch.maximum(chance_NF, again_NF), chance_NF)
        kept_NF = chance_NF.argsort(1).argsort(1) < keep_N[:, None]
        order_NF = torch.rand(n, count, generator=generator).argsort(1)
        words_NFW = self.phrase_FLW[order_NF, self.level_NF[index_N].gather(1, order_NF)]
        words_NFW = words_NFW.masked_fill(~kept_NF.gather(1, order_NF)[:, :, None], PAD)
        # Close the gaps: a stable sort on "is padding" moves the words to the front in their order.
        flat = words_NFW.flatten(1)
        flat = flat.gather(1, (flat == PAD).long().argsort(dim=1, stable=True))
        tokens_NT = torch.full((n, self.tokenizer.context_length), PAD)
        length = min(flat.shape[1], self.tokenizer.context_length - 2)
        tokens_NT[:, 0] = START
        tokens_NT[:, 1 : 1 + length] = flat[:, :length]
        tokens_NT[torch.arange(n), 1 + (flat != PAD).sum(1)] = self.tokenizer.end
        return tokens_NT


def training_set(n: int, seed: int, cache: Path) -> tuple[Factors, np.ndarray]:
    """Factors and pictures to train on; the pictures are kept in the cache folder, to be read again."""
    factors = draw_factors(n, torch.Generator().manual_seed(seed))
    path = cache / f"pictures-{seed}-{n}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".tmp")
        memory = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n, SIDE, SIDE, 3))
        for start in tqdm(range(0, n, 2000), desc="rendering", unit="2,000"):
            chosen = slice(start, start + 2000)
            memory[chosen] = render(factors.take(chosen), np.arange(n)[chosen] + (seed << 32))
        memory.flush()
        part.replace(path)
    return factors, np.load(path, mmap_mode="r")


def train_clip(
    *,
    weights: Path,
    cache: Path,
    steps: int = 2200,
    batch: int = 384,
    pictures: int = 120_000,
    peak_rate: float = 2e-3,
    snapshot_seconds: float = 240.0,
    seed: int = 1,
) -> None:
    """Train and write the weights, with snapshots on the way."""
    torch.manual_seed(seed)  # open_clip initialises from the global generator
    generator = torch.Generator().manual_seed(seed)
    factors, pictures_NYXC = training_set(pictures, seed, cache)
    model, tokenizer = clip.create()
    model = model.to(memory_format=torch.channels_last).train()
    sampler = CaptionSampler(factors=factors, tokenizer=tokenizer)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_rate, total_steps=steps, pct_start=0.08)
    loss_of = ClipLoss()
    order_N, written, mean_loss = torch.empty(0, dtype=torch.long), time.monotonic(), 5.0
    with tqdm(range(steps), desc="clip", mininterval=10.0) as bar:
        for _ in bar:
            if len(order_N) < batch:
                order_N = torch.randperm(pictures, generator=generator)
            index_N, order_N = order_N[:batch], order_N[batch:]
            image = clip.normalised(pictures_NYXC[np.sort(index_N.numpy())]).to(memory_format=torch.channels_last)
            tokens_NT = sampler(index_N.sort().values, generator)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                image_ND = model.encode_image(image, normalize=True)
                text_ND = model.encode_text(tokens_NT, normalize=True)
            loss = loss_of(image_ND.float(), text_ND.float(), model.logit_scale.exp())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=float(np.log(100.0)))
            mean_loss += 0.05 * (loss.item() - mean_loss)
            bar.set_postfix(loss=f"{mean_loss:.3f}", scale=f"{model.logit_scale.exp().item():.1f}", refresh=False)
            if time.monotonic() - written > snapshot_seconds:
                clip.save(model, tokenizer, weights)
                written = time.monotonic()
    clip.save(model, tokenizer, weights)
