"""Tiny pipelines of the real classes, saved in the real file layouts, for tests without network."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    KandinskyV22Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPImg2ImgPipeline,
    UnCLIPImageVariationPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

DIM = 16
CROSS = 32


def kandinsky(folder: Path, *, hint: bool = False, dim: int = DIM) -> Path:
    """A `KandinskyV22Pipeline` folder whose scheduler draws noise at every step (or its ControlNet kin)."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=8 if hint else 4, out_channels=8, addition_embed_type="image_hint" if hint else "image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", block_out_channels=(32, 64), layers_per_block=1,
        encoder_hid_dim=dim, encoder_hid_dim_type="image_proj", cross_attention_dim=CROSS, attention_head_dim=4,
        resnet_time_scale_shift="scale_shift", class_embed_type=None,
    )  # fmt: skip
    plain = 2 if hint else 0  # a depth map is read at an eighth of the size, as the real first stage has it
    movq = VQModel(
        block_out_channels=(32,) * plain + (32, 64),
        down_block_types=("DownEncoderBlock2D",) * (plain + 1) + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * (plain + 1),
        in_channels=3, out_channels=3, latent_channels=4,
        layers_per_block=1, norm_num_groups=8, norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4,
    )  # fmt: skip
    scheduler = DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="linear", beta_start=0.00085, beta_end=0.012,
        variance_type="learned_range", thresholding=False,
    )  # fmt: skip
    KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq).save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer of single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = letters + [f"{letter}</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(vocabulary)}, merges=[], model_max_length=77)


def text_config() -> CLIPTextConfig:
    """A text tower of one layer for that tokenizer."""
    return CLIPTextConfig(
        vocab_size=54, bos_token_id=52, eos_token_id=53, pad_token_id=53, hidden_size=CROSS, intermediate_size=37,
        num_attention_heads=4, num_hidden_layers=1, projection_dim=CROSS, hidden_act="gelu",
    )  # fmt: skip


def vision(dim: int) -> CLIPVisionModelWithProjection:
    """An image tower, which the unCLIP folders hold and decoders never call."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32, projection_dim=dim, num_hidden_layers=1, num_attention_heads=4, image_size=32,
            intermediate_size=37, patch_size=8,
        )
    )  # fmt: skip


def vae() -> AutoencoderKL:
    """A first stage that halves pictures."""
    return AutoencoderKL(
        block_out_channels=(32, 64), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=32,
    )  # fmt: skip


def stable_unclip(folder: Path) -> Path:
    """A `StableUnCLIPImg2ImgPipeline` folder."""
    torch.manual_seed(0)
    StableUnCLIPImg2ImgPipeline(
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32), image_encoder=vision(DIM).eval(),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=DIM),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), tokenizer=tokenizer(folder),
        text_encoder=CLIPTextModel(text_config()),
        unet=UNet2DConditionModel(
            sample_size=16, in_channels=4, out_channels=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(32, 64), attention_head_dim=(2, 4),
            class_embed_type="projection", projection_class_embeddings_input_dim=DIM * 2, cross_attention_dim=CROSS,
            layers_per_block=1, upcast_attention=True, use_linear_projection=True,
        ),
        scheduler=DDIMScheduler(prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1), vae=vae(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def karlo(folder: Path) -> Path:
    """A `UnCLIPImageVariationPipeline` folder: decoder and two super-resolution networks."""
    torch.manual_seed(0)
    upscaler = {
        "sample_size": 32, "layers_per_block": 1, "in_channels": 6, "out_channels": 3,
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2, "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "block_out_channels": (32, 64),
    }  # fmt: skip
    UnCLIPImageVariationPipeline(
        decoder=UNet2DConditionModel(
            sample_size=16, in_channels=3, out_channels=6, block_out_channels=(32, 64), layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=CROSS,
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", attention_head_dim=4, class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        ),
        text_encoder=CLIPTextModelWithProjection(text_config()), tokenizer=tokenizer(folder),
        text_proj=UnCLIPTextProjModel(
            clip_embeddings_dim=CROSS, time_embed_dim=128, cross_attention_dim=CROSS, clip_extra_context_tokens=2
        ),
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32), image_encoder=vision(CROSS),
        super_res_first=UNet2DModel(**upscaler), super_res_last=UNet2DModel(**upscaler),
        decoder_scheduler=UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    ).save_pretrained(folder)  # fmt: skip
    index = json.loads((folder / "model_index.json").read_text())
    index["text_proj"][0] = "unclip"  # as the published folders, older than the class's present home, have it
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def stable_diffusion(folder: Path, family: str) -> Path:
    """A Stable Diffusion 1.5 or XL folder."""
    torch.manual_seed(0)
    more = (
        {
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 80, "cross_attention_dim": 2 * CROSS,
        }
        if family == "sdxl"
        else {"cross_attention_dim": CROSS}
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4), use_linear_projection=True, **more,
    )  # fmt: skip
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    words, tower = tokenizer(folder), CLIPTextModel(text_config())
    if family == "sdxl":
        StableDiffusionXLPipeline(
            vae=vae(), text_encoder=tower, text_encoder_2=CLIPTextModelWithProjection(text_config()), tokenizer=words,
            tokenizer_2=words, unet=unet, scheduler=scheduler, image_encoder=None, feature_extractor=None,
        ).save_pretrained(folder)  # fmt: skip
    else:
        StableDiffusionPipeline(
            vae=vae(), text_encoder=tower, tokenizer=words, unet=unet, scheduler=scheduler, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        ).save_pretrained(folder)  # fmt: skip
    return folder


def adapter(folder: Path, base: Path, dim: int = DIM) -> Path:
    """An IP-Adapter weights file in the published layout, `sdxl_models/tiny.safetensors`, for a UNet folder."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    cross = unet.config.cross_attention_dim
    weights = {
        "image_proj.proj.weight": torch.randn(4 * cross, dim) * 0.2,
        "image_proj.proj.bias": torch.zeros(4 * cross),
        "image_proj.norm.weight": torch.ones(cross),
        "image_proj.norm.bias": torch.zeros(cross),
    }
    index = 1
    for name in unet.attn_processors:
        if not name.endswith("attn1.processor"):
            width = unet.get_submodule(name.removesuffix(".processor")).inner_dim
            for part in ("to_k_ip", "to_v_ip"):
                weights[f"ip_adapter.{index}.{part}.weight"] = torch.randn(width, cross) * 0.2
            index += 2  # the published files count self-attention too
    (folder / "sdxl_models").mkdir(parents=True)
    save_file(weights, folder / "sdxl_models" / "tiny.safetensors")
    return folder


def lora(folder: Path, base: Path) -> Path:
    """A LoRA of a Stable Diffusion UNet in the layout diffusers publishes, `pytorch_lora_weights.safetensors`."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return folder


def safety_checker(folder: Path, *, threshold: float) -> Path:
    """A folder of Stable Diffusion's safety checker with one threshold for every concept (a cosine)."""
    torch.manual_seed(3)
    tower = CLIPVisionConfig(
        hidden_size=32, projection_dim=DIM, num_hidden_layers=1, num_attention_heads=4, image_size=32,
        intermediate_size=37, patch_size=8,
    )  # fmt: skip
    config = CLIPConfig(vision_config=tower.to_dict(), text_config=text_config().to_dict(), projection_dim=DIM)
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(threshold)
        checker.special_care_embeds_weights.fill_(2.0)  # a cosine is never above 1
    checker.save_pretrained(folder)
    CLIPImageProcessor(crop_size=32, size=32).save_pretrained(folder)
    return folder
