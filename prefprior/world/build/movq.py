"""Trains the miniature MoVQ: the autoencoder between pictures and the latents in which the decoder's UNet works.

The codebook of a VQModel is left aside, as Kandinsky's pipeline leaves it aside when it decodes. What keeps the latents
tame is that they are standardised per channel and that the decoder must bear noise on them, as a UNet will make it.

Shapes: N pictures, L channels of the latent, Y X rows and columns.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import VQModel
from torch import Tensor, nn
from tqdm import tqdm

from prefprior.world import clip
from prefprior.world.build.progress import Progress

LATENT_CHANNELS = 4
LATENT_SIDE = 16


def make_movq() -> VQModel:
    """An untrained autoencoder: 64 x 64 pictures to 16 x 16 latents, with MoVQ's spatial normalisation."""
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64),  # multiples of 32: spatial normalisation always has 32 groups
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        sample_size=64,
        num_vq_embeddings=16,
        scaling_factor=1.0,
        norm_type="spatial",
    )


def as_input(pictures_NYXC: np.ndarray) -> Tensor:
    """uint8 pictures (N, Y, X, C) to the range [-1, 1] an autoencoder of diffusers takes, (N, C, Y, X)."""
    return torch.from_numpy(np.ascontiguousarray(pictures_NYXC)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _difference_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 on pixels and on their differences to the right and below: edges count, and pixels alone blur them."""
    across = (made.diff(dim=3) - wanted.diff(dim=3)).abs().mean()
    down = (made.diff(dim=2) - wanted.diff(dim=2)).abs().mean()
    return (made - wanted).abs().mean() + across + down


def train_movq(
    *,
    pictures_NYXC: np.ndarray,
    cache: Path,
    steps: int = 900,
    batch: int = 8,
    peak_rate: float = 2e-3,
    seed: int = 2,
) -> VQModel:
    """Train an autoencoder on the pictures; its latents come out standardised."""
    torch.manual_seed(seed)  # diffusers initialises from the global generator
    generator = torch.Generator().manual_seed(seed)
    movq = make_movq().to(memory_format=torch.channels_last).train()
    standardise = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.02)
    used = [p for name, p in movq.named_parameters() if not name.startswith("quantize")]
    optimizer = torch.optim.AdamW(used, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_rate, total_steps=steps, pct_start=0.1)
    progress = Progress(
        path=cache / "movq-training.pt",
        parts={"movq": movq, "standardise": standardise, "optimizer": optimizer, "schedule": schedule},
        generator=generator,
    )
    first, mean_loss = progress.restore(), 0.5
    with tqdm(range(first, steps), initial=first, total=steps, desc="movq", mininterval=10.0) as bar:
        for step in bar:
            index_N = torch.randint(len(pictures_NYXC), (batch,), generator=generator).sort().values
            wanted = as_input(pictures_NYXC[index_N.numpy()]).to(memory_format=torch.channels_last)
            # Statistics are frozen for the last tenth, so that training ends with what is folded in below.
            standardise.train(step < 0.9 * steps)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                latent_NLYX = standardise(movq.encode(wanted).latents.float())
                level_N = 0.3 * torch.rand(batch, 1, 1, 1, generator=generator)
                noisy_NLYX = latent_NLYX + level_N * torch.randn(latent_NLYX.shape, generator=generator)
                made = movq.decode(noisy_NLYX, force_not_quantize=True).sample
            loss = _difference_loss(made.float(), wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(used, 1.0)
            optimizer.step()
            schedule.step()
            mean_loss += 0.05 * (loss.item() - mean_loss)
            bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
            progress.keep(step + 1)
    _fold(standardise, movq.quant_conv)
    return movq.eval().to(memory_format=torch.contiguous_format)


@torch.no_grad()
def _fold(standardise: nn.BatchNorm2d, convolution: nn.Conv2d) -> None:
    """Put the standardisation of its output into a 1 x 1 convolution, so that the stock VQModel encodes as trained."""
    mean_L, variance_L, bias_L = standardise.running_mean, standardise.running_var, convolution.bias
    assert mean_L is not None
    assert variance_L is not None
    assert bias_L is not None
    scale_L = (variance_L + standardise.eps).rsqrt()
    convolution.weight.mul_(scale_L[:, None, None, None])
    bias_L.sub_(mean_L).mul_(scale_L)


def sharpen_movq(
    movq: VQModel,
    pictures_NYXC: np.ndarray,
    *,
    steps: int = 700,
    batch: int = 8,
    peak_rate: float = 1.5e-3,
    reading_weight: float = 0.5,
    seed: int = 5,
) -> VQModel:
    """Train the decoding half further, now also to keep what the miniature CLIP sees; the latents stay as they are.

    Pixels alone leave the small shapes soft, and CLIP then takes stars for circles.
    """
    generator = torch.Generator().manual_seed(seed)
    model, _, _ = clip.load()
    model.requires_grad_(False)
    movq = movq.to(memory_format=torch.channels_last).requires_grad_(False)
    trained = [*movq.decoder.requires_grad_(True).parameters(), *movq.post_quant_conv.requires_grad_(True).parameters()]
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_rate, total_steps=steps, pct_start=0.1)
    mean_loss, mean_reading = 0.1, 0.1
    with tqdm(range(steps), desc="sharpen", mininterval=10.0) as bar:
        for _ in bar:
            index_N = torch.randint(len(pictures_NYXC), (batch,), generator=generator).sort().values
            pictures = pictures_NYXC[index_N.numpy()]
            wanted = as_input(pictures).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                latent_NLYX = movq.encode(wanted).latents.float()
                level_N = 0.3 * torch.rand(batch, 1, 1, 1, generator=generator)
                noisy_NLYX = latent_NLYX + level_N * torch.randn(latent_NLYX.shape, generator=generator)
                made = movq.decode(noisy_NLYX, force_not_quantize=True).sample.float()
                seen_ND = model.encode_image(clip.standardised(made / 2 + 0.5)).float()
                asked_ND = model.encode_image(clip.normalised(pictures)).float()
            loss = _difference_loss(made, wanted)
            reading = (1 - F.cosine_similarity(seen_ND, asked_ND, dim=-1)).mean()
            optimizer.zero_grad(set_to_none=True)
            (loss + reading_weight * reading).backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            mean_loss += 0.05 * (loss.item() - mean_loss)
            mean_reading += 0.05 * (reading.item() - mean_reading)
            bar.set_postfix(loss=f"{mean_loss:.4f}", reading=f"{mean_reading:.3f}", refresh=False)
    return movq.eval().to(memory_format=torch.contiguous_format)


@torch.no_grad()
def encode(movq: VQModel, pictures_NYXC: np.ndarray, batch: int = 128) -> Tensor:
    """Latents (N, L, Y, X) of uint8 pictures, as float16."""
    latents = []
    for start in tqdm(range(0, len(pictures_NYXC), batch), desc="latents", mininterval=10.0):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents.append(movq.encode(as_input(pictures_NYXC[start : start + batch])).latents.half())
    return torch.cat(latents).contiguous()


@torch.no_grad()
def reconstruction_error(movq: VQModel, pictures_NYXC: np.ndarray) -> float:
    """Mean absolute error of pictures encoded and decoded, on the scale 0 to 1."""
    wanted = as_input(pictures_NYXC)
    made = movq.decode(movq.encode(wanted).latents, force_not_quantize=True).sample.clamp(-1, 1)
    return float(F.l1_loss(made, wanted)) / 2
