"""What `elicit` asks whom: as its configuration names them, and checked before work begins."""

from collections.abc import Mapping

import numpy as np
from omegaconf import DictConfig

from prefprior.config import build
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.encoders import encoder_of
from prefprior.data.embedding.text_axes import text_axes
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.policies.policy import Policy
from prefprior.elicitation.questions import MOST_SHOWN, Kind
from prefprior.errors import require_between, require_choice
from prefprior.evaluated import chosen_decoding
from prefprior.evaluation.protocol.decoding import Decoding
from prefprior.evaluation.protocol.split import held_part
from prefprior.world.source import truth_known

TRAIN = "train"


def chosen_ways(cfg: DictConfig) -> dict[str, Asker]:
    """Every policy with every kind of question that it is for."""
    kinds = [Kind.named(name) for name in cfg.questions]
    policies = {name: build(node, Policy) for name, node in (cfg.policies or {}).items() if node is not None}
    if not kinds or not cfg.use:
        raise ValueError("questions and use must not be empty: which policies ask which kinds of questions?")
    after = list(cfg.after)
    if not after or min(after) < 0 or len(set(after)) < len(after):
        raise ValueError(f"after must be different numbers of answers of at least 0, got {after}")
    if min(cfg.people, cfg.seeds, cfg.n, cfg.tastes, cfg.imagined, cfg.candidates, cfg.calibrate_people) < 1:
        raise ValueError("people, seeds, n, tastes, imagined, candidates and calibrate_people must be at least 1")
    require_between("reference", cfg.reference, 2, 1_000_000)
    require_between("calibrate_shown", cfg.calibrate_shown, 2, MOST_SHOWN)
    if cfg.temperature is not None:
        require_between("temperature", cfg.temperature, 1e-4, 100)
    found: dict[str, Asker] = {}
    for name in cfg.use:
        require_choice("a policy of use", name, policies)
        for kind in kinds:
            policy = policies[name]
            if not policy.fewest <= kind.shown <= policy.most:
                continue  # a pair of pictures is the only question of some policies
            found[f"{name}_{kind}"] = Asker(
                policy=policy, kind=kind, most_alike=cfg.most_alike, pleasant=cfg.pleasant
            )  # fmt: skip
    if not found:
        raise ValueError(
            f"none of the policies {', '.join(cfg.use)} is for questions of {', '.join(map(str, kinds))} pictures"
        )
    return found


def require_askable(cfg: DictConfig, data: PreferenceDataModule, ways: Mapping[str, Asker]) -> None:
    """Refuses questions that these data cannot answer, and answers that nothing calibrates."""
    kinds = [asker.kind for asker in ways.values()]
    likes = data.scale.scale.liked_only
    if likes and any(kind.is_rating or kind.none for kind in kinds):
        raise ValueError(
            f"all ratings of {data.source.name} are likes, which say nothing of ratings or of 'none of these': ask for "
            "choices only, such as 'questions=[9]'"
        )
    world = truth_known(data.source, data.space)
    for name, asker in ways.items():
        if asker.policy.along and not world:
            raise ValueError(
                f"{name} asks about pictures that are made, and nobody has rated those: ask on a world only"
            )
        if asker.policy.along:
            text_axes(list(asker.policy.along), encoder_of(data.space.name))  # refuses what its CLIP does not know
    if world:
        for kind in kinds:
            kind.require_enough(min(cfg.candidates, len(data.catalogue)))
    if cfg.temperature is None:
        if not data.has_part("val"):
            raise ValueError(
                "answers are calibrated on validation users, and there are none: give temperature=0.4, and ask for "
                "choices only, such as 'questions=[9]'"
            )
    elif any(kind.is_rating or kind.none for kind in kinds):
        raise ValueError(
            "temperature=... is that of choices. Ratings and 'none of these' are calibrated: leave it out, or ask for "
            "choices only, such as 'questions=[9]'"
        )


def chosen_users(cfg: DictConfig, data: PreferenceDataModule) -> tuple[list[str], str]:
    """Users at even distances who were never trained on or, of the training part, who were."""
    part = held_part(data) if cfg.part is None else cfg.part
    require_choice("part", part, data.part_names)
    table, trained = data.part(part), data.part(TRAIN).user_N
    codes = np.unique(table.user_N)
    codes = codes if part == TRAIN else np.setdiff1d(codes, trained)
    if not truth_known(data.source, data.space):
        counts = np.bincount(table.user_N, minlength=len(table.users))
        codes = codes[counts[codes] >= cfg.fewest]
    if not len(codes):
        wanted = "" if part == TRAIN else "must not have been trained on and, "
        raise ValueError(
            f"the part {part} of {data.source.name} has no user to ask: they {wanted}unless it is a world, must have "
            f"at least fewest={cfg.fewest} ratings. Train with data.splits.by=user"
        )
    count = min(cfg.people, len(codes))
    return [str(table.users[codes[i * len(codes) // count]]) for i in range(count)], part


def decoding_of(cfg: DictConfig, data: PreferenceDataModule, device: str) -> Decoding | None:
    """What is made is decoded on a world, whose decoder takes seconds; elsewhere nothing is made."""
    if truth_known(data.source, data.space):
        return chosen_decoding(cfg, data, device)
    if cfg.decoder is not None or cfg.encoder is not None:
        raise ValueError("decoder=... and encoder=... have no effect here: pictures are made on a world only")
    return None
