"""A checkpoint with its decoder at work: the threads it computes in, and what is kept of it in memory."""

from dataclasses import dataclass, field

from prefprior.data.pictures import Pictures
from prefprior.elicitation.questions import Kind
from prefprior.studio.inference import Inference, Sampling
from prefprior.studio.painter import Painter
from prefprior.studio.settling import Settling
from prefprior.studio.thumbnails import Thumbnails
from prefprior.studio.wishes import Wishes
from prefprior.studio.worker import Worker

PAGES = {"nine": 9, "pair": 2, "rate": 1, "roam": 1}  # pictures that each shows


@dataclass(frozen=True)
class Offer:
    """What can be asked."""

    kinds: dict[str, Kind]  # by the name of the page: nine, pair, rate, roam
    levels: tuple[float, ...]  # the ratings that can be given
    wishes: Wishes = field(default_factory=Wishes)  # what can be asked of a gallery


@dataclass(frozen=True, eq=False)
class Parts:
    """What a checkpoint and its data give."""

    inference: Inference
    sampling: Sampling
    painter: Painter
    offer: Offer
    pictures: Pictures


class Served:
    """Three workers: for what is asked, for the network and for the decoder."""

    def __init__(self, parts: Parts, *, waiting: int = 256) -> None:
        """At most `waiting` jobs wait for each worker."""
        self.offer, self.model, self.decoder = parts.offer, parts.inference.model, parts.painter.decoder.identity
        self.known = frozenset(parts.sampling.catalogue.ids)
        self.inference = Worker(parts.inference, name="inference", waiting=waiting)
        self._sampling = parts.sampling
        self.sampling = Worker(parts.sampling, name="sampling", waiting=waiting, yields=True)
        self.painter = Worker(parts.painter, name="decoding", waiting=waiting, yields=True)
        self.settling, self.thumbnails = Settling(self.inference, self.sampling), Thumbnails(parts.pictures)

    @property
    def workers(self) -> tuple[Worker[Inference], Worker[Sampling], Worker[Painter]]:
        """All three."""
        return self.inference, self.sampling, self.painter

    @property
    def is_alive(self) -> bool:
        """Whether all workers take jobs."""
        return all(worker.is_alive for worker in self.workers)

    def require_in_place_of(self, other: "Served") -> None:
        """Refuses to take the place of one that asks other questions, or shows pictures that this one does not have."""
        if self.offer != other.offer:
            raise ValueError("it asks other questions, or takes other answers: restart the studio to serve it")
        if lacking := other.known - self.known:
            raise ValueError(
                f"its data lack {len(lacking):,} of the pictures, such as {min(lacking)!r}: restart the studio to "
                "serve it"
            )

    def close(self) -> None:
        """Ends after what waits is done; looks of the network are given up, as they could last for minutes."""
        self._sampling.close()
        for worker in self.workers:
            worker.close()
