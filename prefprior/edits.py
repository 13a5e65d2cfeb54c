"""The edit of a picture (`python sample.py edit=FILE`): what its settings mean, and which contradict each other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL.Image import Image
from torch import Tensor

from prefprior.data.decoding import BadPictureError, decode
from prefprior.decoders.decoder import Decoder, repainter
from prefprior.schemas import SampleConfig
from prefprior.world.source import WorldSource

EDIT_STRENGTH = 0.75  # most of the gain in taste, half of the factors kept: figures in docs/sampling.md
REPAINT = 0.85  # below it a miniature decoder keeps the picture and forgets the edit


def require_edit(config: SampleConfig) -> None:
    """Refuses settings of an edit that have no effect."""
    if config.edit is None:
        changed = [f"{name}=..." for name in ("edit_strength", "repaint") if getattr(config, name) is not None]
        if changed:
            raise ValueError(f"{' and '.join(changed)} belong to an edit: give edit=FILE too, or leave them out")
        return
    without = ("interpolate", "prompt", "prompt_weight", "guidance_text", "candidates", "diversity")
    if found := [name for name in without if getattr(config, name) is not None]:
        raise ValueError(f"{found[0]} has no effect on an edit: leave it out, or leave edit={config.edit} out")
    if config.edit_strength == 0 and config.axes is None:
        raise ValueError("edit_strength=0 without axes leaves the picture as it is: raise it, or give axes=...")


def picture_to_edit(path: str) -> Image:
    """The picture that is to be edited."""
    try:
        return decode(Path(path), path)
    except BadPictureError as error:
        raise ValueError(f"edit={path} cannot be used as a picture ({error}). Give a picture file.") from None


def edit_strength(config: SampleConfig) -> float:
    """How far an edit goes towards taste; by default not at all where it is along axes."""
    if config.edit is None:
        return 0.0
    default = EDIT_STRENGTH if config.axes is None else 0.0
    return default if config.edit_strength is None else config.edit_strength


def repaint_of(config: SampleConfig, decoder: Decoder) -> float | None:
    """The noise that img2img starts from; None where the decoder cannot start from a picture."""
    if config.edit is None:
        return None
    if repainter(decoder) is None:
        if config.repaint is not None:
            raise ValueError(
                f"the decoder {decoder.identity} cannot start from a picture: leave repaint={config.repaint:g} out"
            )
        return None
    return REPAINT if config.repaint is None else config.repaint


def factors_kept(truth: WorldSource | None, original_D: Tensor | None) -> Callable[[Tensor], np.ndarray] | None:
    """How much of the original is kept, where factors are known."""
    if truth is None or original_D is None:
        return None
    probe = truth.factor_probe()
    return lambda edited_nD: probe.kept(original_D[None], edited_nD)
