"""Trains the miniature unCLIP decoder: a Kandinsky 2.2 pipeline conditioned on the miniature CLIP's image embeddings.

Shapes: N pictures of a batch, D dim of the embedding, L channels of the latent, Y X rows and columns.
"""

import copy
import hashlib
import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, KandinskyV22Pipeline, UNet2DConditionModel, VQModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from prefprior.files import make_folder, read_json, replace, write_json, writing, written_whole
from prefprior.world import clip
from prefprior.world.build.movq import LATENT_CHANNELS, LATENT_SIDE, encode
from prefprior.world.build.progress import Progress

DECODER = clip.WEIGHTS.parent / "decoder"
ENCODER = "encoder.json"  # in the decoder's folder: which CLIP it was made for
EMBEDDING = 64


def make_unet() -> UNet2DConditionModel:
    """An untrained UNet wired as Kandinsky 2.2's: image tokens for attention, and the image in the time embedding.

    Attention stays where there are 4 x 4 tokens: a level higher it took about a fifth of the time of a training step.
    """
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=2 * LATENT_CHANNELS,  # the second half would be a learned variance; the pipeline drops it
        down_block_types=("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
        block_out_channels=(64, 96, 128),
        layers_per_block=1,
        attention_head_dim=32,
        cross_attention_dim=32,
        encoder_hid_dim=EMBEDDING,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        resnet_time_scale_shift="scale_shift",
    )


def make_scheduler() -> DDIMScheduler:
    """Cosine noise, velocity prediction (Salimans and Ho 2022, "Progressive distillation"), steps from pure noise on.

    Predicting velocity keeps the first of few steps, where nearly all is noise, as well scaled as the last.
    """
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


class LatentReader(nn.Module):
    """Embeds latents where CLIP embeds their pictures: a cheap stand-in, to be differentiated through."""

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(LATENT_CHANNELS, width, 3, padding=1)]
        for wide, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2)):
            before = layers[-1].out_channels if isinstance(layers[-1], nn.Conv2d) else width
            layers += [nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, wide, 3, stride=stride, padding=1)]
        self.convolutions = nn.Sequential(*layers, nn.GroupNorm(8, 4 * width), nn.SiLU())
        self.out = nn.Linear(4 * width * (LATENT_SIDE // 4) ** 2, EMBEDDING)

    def forward(self, latent_NLYX: Tensor) -> Tensor:
        """Embeddings (N, D) of latents."""
        return self.out(self.convolutions(latent_NLYX).flatten(1))


def latents_and_embeddings(movq: VQModel, pictures_NYXC: np.ndarray, path: Path) -> tuple[Tensor, Tensor]:
    """Latents and embeddings of the pictures to train on, kept at `path` to be read again."""
    if not path.is_file():
        model, _, _ = clip.load()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding_ND = clip.embed_pictures(model, pictures_NYXC).float()
        with written_whole(path, SafetensorError) as part:
            save_file({"latents": encode(movq, pictures_NYXC), "embeddings": embedding_ND}, part)
    stored = load_file(path)
    return stored["latents"], stored["embeddings"]


def train_reader(
    latent_NLYX: Tensor, embedding_ND: Tensor, *, steps: int = 600, batch: int = 128, seed: int = 3
) -> LatentReader:
    """Train the stand-in to point where CLIP points, on clean and slightly noisy latents; returned frozen."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    reader = LatentReader().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    with tqdm(range(steps), desc="reader", mininterval=10.0) as bar:
        for _ in bar:
            index_N = torch.randint(len(latent_NLYX), (batch,), generator=generator)
            noise = torch.randn((batch, *latent_NLYX.shape[1:]), generator=generator)
            noisy = latent_NLYX[index_N].float() + 0.3 * torch.rand(batch, 1, 1, 1, generator=generator) * noise
            with torch.autocast("cpu", dtype=torch.bfloat16):
                read_ND = reader(noisy.to(memory_format=torch.channels_last))
            similarity = F.cosine_similarity(read_ND.float(), embedding_ND[index_N], dim=-1).mean()
            optimizer.zero_grad(set_to_none=True)
            (1 - similarity).backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix(cosine=f"{similarity.item():.3f}", refresh=False)
    return reader.eval().requires_grad_(False)


def train_unet(
    *,
    cache: Path,
    latent_NLYX: Tensor,
    embedding_ND: Tensor,
    reader: LatentReader,
    steps: int = 4500,
    batch: int = 64,
    peak_rate: float = 1.2e-3,
    reading_weight: float = 0.5,
    seed: int = 4,
) -> UNet2DConditionModel:
    """Train the UNet; what is returned is the running average of its weights."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    unet = make_unet().train()  # group norms, a third of all time, are slower with channels last
    average = copy.deepcopy(unet).requires_grad_(False)
    signal_T = make_scheduler().alphas_cumprod
    optimizer = torch.optim.AdamW(unet.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_rate, total_steps=steps, pct_start=0.05)
    progress = Progress(
        path=cache / "unet-training.pt",
        parts={"unet": unet, "average": average, "optimizer": optimizer, "schedule": schedule},
        generator=generator,
    )
    first, mean_loss, mean_reading = progress.restore(), 1.0, 1.0
    with tqdm(range(first, steps), initial=first, total=steps, desc="unet", mininterval=10.0) as bar:
        for step in bar:
            index_N = torch.randint(len(latent_NLYX), (batch,), generator=generator)
            clean, asked_ND = latent_NLYX[index_N].float(), embedding_ND[index_N]
            # A tenth of the conditions is dropped, for guidance; lengths vary, as those of a sampled embedding will.
            kept_N1 = (torch.rand(batch, 1, generator=generator) > 0.1).float()
            given_ND = asked_ND * kept_N1 * (0.9 + 0.2 * torch.rand(batch, 1, generator=generator))
            # Noisier times are drawn more often: it is there that the embedding decides what the picture is.
            time_N = (len(signal_T) * torch.rand(batch, generator=generator) ** 0.6).long()
            signal = signal_T[time_N][:, None, None, None]
            noise = torch.randn(clean.shape, generator=generator)
            noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
            velocity = signal.sqrt() * noise - (1 - signal).sqrt() * clean
            with torch.autocast("cpu", dtype=torch.bfloat16):
                guess = (
                    unet(noisy, time_N, None, added_cond_kwargs={"image_embeds": given_ND})
                    .sample[:, :LATENT_CHANNELS]
                    .float()
                )
                # What the guess says the clean latent is must also read as what was asked for.
                clean_guess = signal.sqrt() * noisy - (1 - signal).sqrt() * guess
                read_ND = reader(clean_guess.to(memory_format=torch.channels_last)).float()
            loss = F.mse_loss(guess, velocity)
            missed_N = 1 - F.cosine_similarity(read_ND, asked_ND, dim=-1)
            reading = (missed_N * kept_N1[:, 0]).sum() / kept_N1.sum()
            optimizer.zero_grad(set_to_none=True)
            (loss + reading_weight * reading).backward()
            nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            decay = min(0.998, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(unet.parameters()), 1 - decay)
            mean_loss += 0.02 * (loss.item() - mean_loss)
            mean_reading += 0.02 * (reading.item() - mean_reading)
            bar.set_postfix(loss=f"{mean_loss:.4f}", reading=f"{mean_reading:.3f}", refresh=False)
            progress.keep(step + 1)
    return average


def save_pipeline(unet: UNet2DConditionModel, movq: VQModel, folder: Path) -> None:
    """Write the pipeline as float16, each file whole, so that a reader never sees a half of one."""
    half = KandinskyV22Pipeline(
        unet=copy.deepcopy(unet).half(),
        scheduler=make_scheduler(),
        movq=copy.deepcopy(movq).half(),
    )
    part = unfinished(folder)
    shutil.rmtree(part, ignore_errors=True)
    for network in (half.unet, half.movq):  # where one was read from is nobody's affair but its maker's
        network.register_to_config(_name_or_path=None)
    with writing(folder, SafetensorError):
        half.save_pretrained(part)
    write_json(part / ENCODER, encoder_identity())
    # The index goes last: without it the folder is no pipeline.
    files = sorted(
        (path for path in part.rglob("*") if path.is_file()), key=lambda path: path.name == "model_index.json"
    )
    for source in files:
        target = folder / source.relative_to(part)
        make_folder(target.parent)
        with writing(target):
            source.chmod(0o644)  # safetensors writes files only their owner may read
            replace(source, target)
    shutil.rmtree(part)


def unfinished(folder: Path) -> Path:
    """Where a folder is written before it is moved to its place."""
    return folder.with_name(f".{folder.name}.tmp")


def encoder_identity() -> dict[str, str]:
    """Which CLIP a decoder is made for: embeddings of another training of it mean something else."""
    return {"model": clip.MODEL_NAME, "sha256": hashlib.sha256(clip.WEIGHTS.read_bytes()).hexdigest()}


def is_current(folder: Path) -> bool:
    """Whether a complete decoder of this architecture for the CLIP that ships is in the folder."""
    parts = (folder / "model_index.json", folder / ENCODER, folder / "unet" / "config.json")
    if not all(path.is_file() for path in parts) or read_json(folder / ENCODER) != encoder_identity():
        return False
    made, wanted = read_json(folder / "unet" / "config.json"), make_unet().config
    return all(
        made.get(key) == list(wanted[key]) for key in ("down_block_types", "up_block_types", "block_out_channels")
    )
