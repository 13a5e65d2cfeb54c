"""Makes users' parts of a gallery: embeds, decodes, checks, measures and writes, a fixed group of users at a time.

A group is decoded as one, and made again whole where anything of it is missing: what a picture is decoded beside never
depends on what an earlier, interrupted run had finished.
"""

from pathlib import Path

import torch
from PIL import Image

from prefprior.decoders.decoder import Decoder, repainter
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.gallery.embeddings import PersonalEmbeddings, UserEmbeddings
from prefprior.gallery.figures import Figures
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.user_folder import MadePictures, UserFolders
from prefprior.gallery.users import GalleryUser, GalleryUsers
from prefprior.seeding import seed_of


class GalleryMaker:
    """Everything that turns names of users into folders of pictures."""

    def __init__(
        self,
        *,
        root: Path,
        settings: GallerySettings,
        users: GalleryUsers,
        embeddings: PersonalEmbeddings,
        decoder: Decoder,
        safety: Safety,
        figures: Figures,
        interpolate: bool = False,
        original: Image.Image | None = None,
    ) -> None:
        """`interpolate` walks from the first to the second user of a group; `original` is edited for each user."""
        if settings.negative and not decoder.takes_negative:
            raise ValueError(
                f"the decoder {decoder.identity} does not support negative embeddings. Leave negative=true out."
            )
        self.root, self.settings, self.users, self.embeddings = root, settings, users, embeddings
        self.decoder, self.safety, self.interpolate = decoder, safety, interpolate
        self.figures, self.original = figures, original
        self._folders = UserFolders(root=root, settings=settings, real=figures.real, original=original)

    @property
    def names_made(self) -> list[str]:
        """Whose folders there will be."""
        return [" to ".join(self.users.names)] if self.interpolate else self.users.names

    def make(self, names: list[str]) -> None:
        """Makes one group."""
        users = self.users.gather(names)
        if self.interpolate:
            embedded = [(_both(*users), self.embeddings.between(*users))]
        elif self.original is not None:
            embedded = [(user, self.embeddings.edited(user)) for user in users]
        else:
            embedded = [(user, self.embeddings.of(user)) for user in users]
        pictures = self._decode(embedded)
        flags = self.safety.flagged(pictures)
        start = 0
        for user, embeddings in embedded:
            rows = slice(start, start + len(embeddings))
            self._write(user, embeddings, pictures[rows], flags[rows])
            start += len(embeddings)

    def picture_seed(self, name: str, index: int) -> int:
        """The seed of one picture's own noise; walks and edits keep one noise, so that only the embedding moves."""
        one = self.interpolate or self.original is not None
        return seed_of(self.settings.seed, name, "picture", 0 if one else index)

    def _decode(self, embedded: list[tuple[GalleryUser, UserEmbeddings]]) -> list[Image.Image]:
        negatives = [made.negative_nD for _, made in embedded if made.negative_nD is not None]
        seeds = [self.picture_seed(user.name, index) for user, made in embedded for index in range(len(made))]
        raw_BD = torch.cat([made.raw_nD for _, made in embedded])
        negative_BD = torch.cat(negatives) if negatives else None
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        painter = repainter(self.decoder)
        if self.original is not None and painter is not None and self.settings.repaint is not None:
            return painter.repaint(
                self.original,
                raw_BD,
                strength=self.settings.repaint,
                negative_BD=negative_BD,
                generators=generators,
            )
        return self.decoder.decode(
            raw_BD,
            negative_BD=negative_BD,
            prompt=self.settings.prompt if self.decoder.takes_prompt else None,
            generators=generators,
        )

    def _write(
        self, user: GalleryUser, embeddings: UserEmbeddings, pictures: list[Image.Image], flags: list[bool]
    ) -> None:
        # Measured before anything is blurred: the measure is of the decoder, not of the filter.
        rows = self.figures.rows(user.name, embeddings, pictures)
        made = MadePictures(
            pictures=[blurred_card(picture) if flag else picture for picture, flag in zip(pictures, flags)],
            withheld=flags,
            seeds=[self.picture_seed(user.name, index) for index in range(len(embeddings))],
            rows=rows,
            taste=self.figures.taste(user.name),
        )
        self._folders.write(user, embeddings, made)


def _both(one: GalleryUser, other: GalleryUser) -> GalleryUser:
    """Two users as one, whose ratings are those of both."""
    return GalleryUser(
        name=f"{one.name} to {other.name}", part=one.part, history=one.history, items=[*one.items, *other.items],
        ratings=[*one.ratings, *other.ratings], pictures=one.pictures,
    )  # fmt: skip
