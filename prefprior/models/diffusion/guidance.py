"""Scales of classifier-free guidance; `prefprior.inference.guidance` applies them."""

from prefprior.models.recorded import Recorded


class Guidance(Recorded):
    """A scale for each condition; the defaults leave the network's prediction as it is.

    `history`: 1 is the conditional prediction, above 1 moves away from that of the empty history (classifier-free
    guidance, Ho & Salimans 2022, arXiv:2207.12598). `rating`: how far to move from disliked towards liked. `text`: like
    `history`, away from the prediction without the text, where there is one.
    """

    def __init__(self, *, history: float = 1.0, rating: float = 0.0, text: float = 1.0) -> None:
        self.history = history
        self.rating = rating
        self.text = text
