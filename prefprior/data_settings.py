"""Settings for your own table of ratings: what `experiment=table` chooses after it has read the data."""

import numpy as np

from prefprior.ratings import RatingsTable

SHORTEST, LONGEST = 8, 64  # histories of likes
MEMBERS = 4  # of the ensemble, for the shortest histories
COMPONENTS = {"prior", "retriever", "objective", "distillation", "scale"}
FEW_RATINGS = 1_000_000  # below this the smallest prior is the default, which trains in minutes
# Below this an epoch that visits each rating once has so few steps that five epochs would train hardly anything.
VERY_FEW_RATINGS = 50_000


def settings_for(ratings: RatingsTable) -> tuple[list[str], str]:
    """Overrides as on a command line, and the reason for them."""
    counts = np.bincount(ratings.user_N)
    median = int(np.median(counts[counts > 0])) if len(ratings) else 0
    if ratings.scale.liked_only:
        cap = min(max(SHORTEST, 1 << (median - 1).bit_length()), LONGEST)
        reason = f"all ratings are likes, with a median of {median} per user"
        # The cost of a step grows with the length of histories and the number of members.
        members, epochs = max(1, MEMBERS * SHORTEST // cap), 6 if cap <= 16 else 3
        words = [f"data.draws.history_cap={cap}", f"retriever.retriever.n={members}", f"trainer.max_epochs={epochs}"]
        return ["experiment=likes", *words], reason
    words = []
    if len(ratings) < FEW_RATINGS:
        words += ["prior=tiny", "trainer.max_epochs=5"]
        if len(ratings) < VERY_FEW_RATINGS:
            words += ["data.batch_size=64", "data.epoch_batches=100"]
    return words, f"{len(ratings):,} graded ratings"


def without_given(chosen: list[str], given: list[str]) -> list[str]:
    """The chosen overrides, except those of keys that the command line sets; none if the command line sets a component
    that the chosen experiment would replace."""
    keys = {word.lstrip("+~").split("=", 1)[0] for word in given}
    if any(word.startswith("experiment=") for word in chosen) and keys & COMPONENTS:
        return []
    return [word for word in chosen if word.split("=", 1)[0] not in keys - {"experiment"}]
