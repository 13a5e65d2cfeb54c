"""Which decoder draws the pictures of a space, and its making."""

from omegaconf import DictConfig, OmegaConf

from prefprior.config import argument, build, conf_folder, plain_node
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.decoders.decoder import Decoder
from prefprior.decoders.retrieval import Retrieval
from prefprior.nodes import problems

# The decoder that is chosen where none is named.
FITTING = {
    "world-clip": "world",
    "ViT-bigG-14/laion2b_s39b_b160k": "kandinsky",
    "ViT-H-14/laion2b_s32b_b79k": "stable_unclip",
    "ViT-L-14/openai": "karlo",
}


def decoder_node(given: DictConfig | None, space_name: str) -> DictConfig:
    """The decoder's configuration: the chosen one, or the fitting one with the command's changes."""
    if given is not None and "_target_" in given:
        return given
    node = OmegaConf.load(conf_folder() / "decoder" / f"{FITTING.get(space_name, 'retrieval')}.yaml")
    merged = OmegaConf.merge(node, given or {})
    found = problems(plain_node(merged), "decoder")
    if found:
        raise ValueError("the configuration has problems:\n" + "\n".join(f"  - {line}" for line in found))
    return merged  # type: ignore[return-value]


def fitting_decoder(node: DictConfig, data: PreferenceDataModule | None, space_name: str) -> Decoder:
    """Made only if it fits: a foreign one is refused before its gigabytes are looked for."""
    if not str(node._target_).endswith(f".{Retrieval.__name__}"):
        claimed = argument(node, "space_name")
        if claimed not in (None, space_name):
            raise ValueError(
                f"the decoder {node._target_.rsplit('.', 1)[-1]} understands embeddings of {claimed}, but the prior "
                f"makes those of {space_name}. Choose a decoder of that space, or a prior trained on {claimed}."
            )
        return build(node)
    pictures = None if data is None else data.source.pictures()
    if data is None or pictures is None:
        raise ValueError(
            "decoder=retrieval shows real pictures (all there is for a space without a decoder, such as "
            f"{space_name}), and those of the data are not at hand. If you have them, say where: "
            "source.pictures=FOLDER (of a table) or source.root=FOLDER (of a data set). python evaluate.py needs none."
        )
    return build(node, catalogue=data.catalogue, pictures=pictures)
