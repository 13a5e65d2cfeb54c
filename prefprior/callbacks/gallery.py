"""A small gallery for the same validation users every few epochs, which shows the progress of training."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.decoders.decoder import Decoder, require_space
from prefprior.decoders.retrieval import Retrieval
from prefprior.decoders.safety import NoSafety
from prefprior.gallery.embeddings import PersonalEmbeddings
from prefprior.gallery.figures import Figures, RealPictures
from prefprior.gallery.maker import GalleryMaker
from prefprior.gallery.manifest import SHEET, read_manifest, user_folder
from prefprior.gallery.pages import write_pages
from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import DatasetUsers
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.module import PreferenceModule
from prefprior.seeding import seed_of
from prefprior.world.source import truth_known


class GalleryCallback(Callback):
    """Writes `galleries/epoch-<n>/` into the run's folder, for every so many epochs and the last one.

    Where the logger is Weights & Biases, a table goes there too.
    """

    def __init__(
        self,
        *,
        decoder: Decoder | None = None,
        sampler: Sampler | None = None,
        people: int = 4,
        n: int = 4,
        history: int = 16,
        every_n_epochs: int = 5,
        seed: int = 0,
    ) -> None:
        """Without a decoder, the nearest real pictures are shown."""
        if min(people, n, history, every_n_epochs) < 1:
            raise ValueError("people, n, history and every_n_epochs of the gallery callback must be at least 1")
        self.decoder, self.sampler = decoder, sampler or Sampler()
        self.people, self.n, self.history, self.every, self.seed = people, n, history, every_n_epochs, seed
        self._shown = False

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Makes the gallery, on one process; validation's weights are the averaged ones, if there are such."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every == 0 or epoch == trainer.max_epochs
        if not trainer.sanity_checking and due:
            self._show(trainer, pl_module, epoch)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Says so where there is nothing to see."""
        if not self._shown and trainer.is_global_zero:
            print(
                "the gallery callback made no gallery: training ended before the validation of epoch "
                f"{self.every}. Lower callbacks.gallery.every_n_epochs"
            )

    def _show(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, epoch: int) -> None:
        data, module = trainer.datamodule, pl_module  # type: ignore[attr-defined]
        assert isinstance(data, PreferenceDataModule)
        assert isinstance(module, PreferenceModule)
        if not trainer.is_global_zero or not data.has_part("val"):
            return
        folder = Path(trainer.default_root_dir) / "galleries" / f"epoch-{epoch:04d}"
        names = self._make(folder, data, module, f"epoch {epoch}")
        self._shown = True
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._log(logger, folder, names)

    def _make(self, folder: Path, data: PreferenceDataModule, module: PreferenceModule, when: str) -> list[str]:
        predictor = TrainedPredictor(model=module.model, objective=module.objective, sampler=self.sampler)
        real = RealPictures(data.catalogue, data.source.pictures())
        decoder = self.decoder or _retrieval(real)
        require_space(decoder, data.space.name)
        decoder.to(module.device)
        names = sorted(data.users("val"), key=lambda user: seed_of(self.seed, "chosen", user))[: self.people]
        settings = GallerySettings(
            checkpoint=when,
            checkpoint_sha256=None,
            space=data.space.name,
            space_fingerprint=data.space.fingerprint(),
            decoder=decoder.identity,
            sampler=self.sampler,
            n=self.n,
            seed=self.seed,
            history=self.history,
        )
        maker = GalleryMaker(
            root=folder,
            settings=settings,
            users=DatasetUsers(data, users=names, length=self.history, count=None, seed=self.seed),
            embeddings=PersonalEmbeddings(predictor=predictor, settings=settings, catalogue=data.catalogue),
            decoder=decoder,
            safety=NoSafety(),
            figures=Figures(
                space=data.space,
                real=real,
                nearest=settings.nearest,
                truth=data.source if truth_known(data.source, data.space) else None,
            ),
        )
        maker.make(names)
        write_pages(folder, names, f"{data.source.name}, {when}", settings)
        return names

    def _log(self, logger: WandbLogger, folder: Path, names: list[str]) -> None:
        import wandb

        rows: list[list[Any]] = []
        for name in names:
            place = user_folder(folder, name)
            summary = read_manifest(place)["summary"]
            with Image.open(place / SHEET) as sheet:
                rows.append([name, wandb.Image(sheet.copy()), summary.get("better_than"), summary.get("utility")])
        logger.log_table("gallery", columns=["person", "gallery", "better_than", "utility"], data=rows)


def _retrieval(real: RealPictures) -> Retrieval:
    if real.pictures is None:
        raise ValueError(
            "the gallery callback has no pictures to show, because this source has none. Give it a "
            "decoder, or remove it with ~callbacks.gallery"
        )
    return Retrieval(catalogue=real.catalogue, pictures=real.pictures)
