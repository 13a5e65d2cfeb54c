"""An encoder of your own: a folder of pictures becomes embeddings in a space of your own.

    python examples/own_encoder.py my/pictures vectors.npy ids.txt

Any function from pictures to vectors will do. Here it is the picture itself, as a thumbnail of 8 x 8 pixels: the
decoder of the same space (mylab/mylab.py) is as short.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from prefprior.data.pictures import FolderPictures


class ThumbnailEncoder:
    """Keeps the protocol `prefprior.data.embedding.encoders.Encoder`."""

    space_name = "thumbnail-8"

    def encode_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(N, 192) pixels from -1 to 1."""
        small = [np.asarray(picture.convert("RGB").resize((8, 8)), dtype=np.float32) for picture in pictures]
        return torch.from_numpy(np.stack(small)).flatten(1) / 127.5 - 1


def main(folder: str, vectors: str, ids: str) -> None:
    """Writes the embeddings and, in the same order, the names of the pictures."""
    pictures, encoder = FolderPictures(Path(folder)), ThumbnailEncoder()
    embeddings = torch.cat([encoder.encode_images([pictures.open(item)]) for item in pictures.ids])
    np.save(vectors, embeddings.numpy())
    Path(ids).write_text("".join(f"{item}\n" for item in pictures.ids), encoding="utf-8")
    print(f"{len(embeddings)} pictures in the space {encoder.space_name}: {vectors}, {ids}")


if __name__ == "__main__":
    main(*sys.argv[1:])
