"""Asks groups of users in any way: by the truth of a world, or by ratings that are replayed.

Shapes: B users, n samples, D dimension.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL.Image import Image

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.data.embedding.text_axes import text_axes
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.calibration import HISTORY
from prefprior.elicitation.cast import Cast, Pool, Replay, replays
from prefprior.elicitation.groups import Group
from prefprior.elicitation.people import Manner
from prefprior.elicitation.policies.axes import Axes
from prefprior.elicitation.questions import Answer
from prefprior.elicitation.report import filmstrip
from prefprior.elicitation.session import Asked, Sessions, run_sessions
from prefprior.elicitation.told import Told
from prefprior.elicitation.uncertainty import Cells, Uncertainty
from prefprior.evaluation.protocol.decoding import DECODED, Decoding
from prefprior.evaluation.protocol.split import HistoryCut, people_of
from prefprior.gallery.contact_sheet import save
from prefprior.world.source import truth_known

STRIP = "questions_{}.png"
KNOWN = 200  # validation users by whom uncertainty is calibrated


@dataclass(frozen=True, kw_only=True, eq=False)
class Sitting:
    """What all ways to ask, seeds and groups of users have in common."""

    folder: Path  # for the pictures of questions and answers
    data: PreferenceDataModule
    part: str
    users: Sequence[str]
    cast: Cast
    manner: Manner
    decoding: Decoding | None
    after: Sequence[int]  # numbers of answers after which users are judged
    n: int  # embeddings made
    diversity: float
    candidates: int
    seed: int
    device: str = "cpu"

    def sessions(self, asker: Asker, group: Group, advance: Callable[[], None] = lambda: None) -> Sessions:
        """The sessions of one group."""
        people = self._people(group, self._along(asker.policy) if isinstance(asker.policy, Axes) else None)
        decoded_after = self._decoded_after(group)
        found = run_sessions(
            asker, people, self.after, seed=self.seed + group.place, patience=self.manner.patience,
            keep_made=decoded_after, advance=advance,
        )  # fmt: skip
        made = {count: self._decode(found, group, count) for count in decoded_after}
        ids = self.data.catalogue.ids
        for asked in people:
            own = [ids[row] if row >= 0 else "" for row in asked.row_N.tolist()]
            answers = found.answers[asked.person.user]
            found.told[asked.person.user] = [
                Told.of(answer, own, self.cast.levels.raw)
                for answer in answers
                if all(own[item] for item in answer.question.items)  # made pictures are items of no table
            ]
        if group.place == 0 and group.first == 0:
            self._strip(found, group, people[0], made)
        return found

    def _people(self, group: Group, made: Pool | None) -> list[Asked]:
        source, seed = self.data.source, self.seed + group.place
        if not truth_known(source, self.data.space):
            return self.cast.of_ratings(
                [self._replays[user] for user in group.users], self._pool, self.manner, seed=seed
            )
        return self.cast.of_world(
            source, group.users, made or self._pool, self._uncertain, self.manner, n=self.n, diversity=self.diversity,
            seed=seed,
        )  # fmt: skip

    @cached_property
    def _pool(self) -> Pool:
        """What can be shown: on a world the same random items to everybody, elsewhere what users rated."""
        if truth_known(self.data.source, self.data.space):
            draws = torch.Generator().manual_seed(self.seed)
            return self.cast.pool(torch.randperm(len(self.data.catalogue), generator=draws)[: self.candidates])
        item_I = {item for one in self._replays.values() for each in (one.item, one.others) for item in each.tolist()}
        return self.cast.pool(torch.tensor(sorted(item_I)))

    def _along(self, policy: Axes) -> Pool:
        """Pairs that a policy asks along axes: the same to everybody."""
        if policy.along not in self._made:
            draws = torch.Generator().manual_seed(self.seed)
            axes = text_axes(list(policy.along), encoder_of(self.data.space.name, self.device))
            self._made[policy.along] = self.cast.pool_along(axes, policy, draws)
        return self._made[policy.along]

    @cached_property
    def _made(self) -> dict[tuple[str, ...], Pool]:
        return {}

    @cached_property
    def _replays(self) -> dict[str, Replay]:
        table, most = self.data.part(self.part), self.candidates
        found = replays(table, self.users, len(self.data.catalogue), most=most, others=most, seed=self.seed)
        return {replay.user: replay for replay in found}

    @cached_property
    def _uncertain(self) -> dict[str, Uncertainty]:
        """Of these users, by cells that fit validation users."""
        data = self.data
        cells = Cells.cut(data.catalogue, self.seed)
        if data.has_part("val"):
            people = people_of(data, "val", HistoryCut(), HISTORY).first(KNOWN)
            cells = cells.fitted(self.cast.tastes, people, torch.Generator().manual_seed(self.seed))
        return Uncertainty.of(cells, data.catalogue, data.part(self.part), self.users)

    def _decoded_after(self, group: Group) -> list[int]:
        if self.decoding is None or group.first >= self.decoding.people:
            return []
        return [count for count in self.after if count in self.decoding.lengths]

    def _decode(self, found: Sessions, group: Group, count: int) -> list[Image]:
        """Adds the utility of decoded pictures, embedded again; returns those of the first user."""
        assert self.decoding is not None
        assert truth_known(self.data.source, self.data.space)
        few = found.made[count][: self.decoding.people - group.first]
        seed = self.seed + group.first * self.decoding.samples  # each picture has its own
        decoded = self.decoding.decode_and_embed(torch.stack(few), self.data.space, seed)
        for user, again_nD, figures in zip(found.users, decoded.embeddings_BnD, found.figures[count], strict=False):
            figures[f"utility{DECODED}"] = float(self.data.source.scaled_utility(user, again_nD).mean())
        return decoded.pictures[0]

    def _strip(self, found: Sessions, group: Group, asked: Asked, made: Mapping[int, list[Image]]) -> None:
        """The first user's questions and answers as a picture, where there are pictures of what was shown."""
        user = found.users[0]
        shown = [self._pictures(asked, answer) for answer in found.answers[user]]
        if any(len(row) < len(answer.question.items) for row, answer in zip(shown, found.answers[user], strict=True)):
            return
        title = f"{user}, asked by {group.way}"
        sheet = filmstrip(title, found.answers[user], shown, made, self.cast.levels.raw)
        save(sheet, self.folder / STRIP.format(group.way))

    def _pictures(self, asked: Asked, answer: Answer) -> list[Image]:
        """What a question showed: real pictures, or decoded ones."""
        items, real = list(answer.question.items), self.data.source.pictures()
        rows = asked.row_N[items].tolist()
        if min(rows) >= 0:
            return [] if real is None else [real.open(self.data.catalogue.ids[row]) for row in rows]
        if self.decoding is None:
            return []
        raw_MD = asked.belief().candidates_ND[items]
        generators = [torch.Generator().manual_seed(self.seed) for _ in items]
        return self.decoding.decoder.decode(raw_MD, negative_BD=None, prompt=None, generators=generators)
