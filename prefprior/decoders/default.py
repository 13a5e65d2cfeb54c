"""Which decoder fits a space: the option of the config group `decoder` that is chosen where none is named."""

DEFAULT_DECODERS = {
    "world-clip": "world",
    "ViT-bigG-14/laion2b_s39b_b160k": "kandinsky",
    "ViT-H-14/laion2b_s32b_b79k": "stable_unclip",
    "ViT-L-14/openai": "karlo",
}


def default_decoder(space_name: str) -> str:
    """The option's name; where no decoder understands the space, retrieval shows the nearest real pictures."""
    return DEFAULT_DECODERS.get(space_name, "retrieval")
