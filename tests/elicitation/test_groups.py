"""Groups of users: who asks whom, and their sessions on the disk."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from prefprior.elicitation.groups import SIZE, DealtGroups, Group, all_groups, read_groups
from prefprior.elicitation.session import Sessions
from prefprior.elicitation.told import Told
from prefprior.files import write_json

USERS = [f"u{number:02d}" for number in range(2 * SIZE + 3)]


def finish(root: Path, group: Group, **changes: object) -> None:
    figures = {1: [{"utility": float("nan") if user == "u00" else 0.1} for user in group.users]}
    told = {user: [Told(("a", "b"), (0,))] for user in group.users}
    write_json(group.path(root), Sessions(list(group.users), figures, told).plain() | changes)


def test_every_user_is_in_one_group_of_each_way_and_seed() -> None:
    groups = all_groups(["random_9", "eubo_2"], 3, USERS)
    for way in ("random_9", "eubo_2"):
        for place in range(3):
            own = [group for group in groups if (group.way, group.place) == (way, place)]
            assert [user for group in own for user in group.users] == USERS
            assert [group.first for group in own] == [0, SIZE, 2 * SIZE]


def test_sessions_are_read_back_whole(tmp_path: Path) -> None:
    groups = all_groups(["random_9"], 2, USERS)
    for group in groups:
        finish(tmp_path, group)
    found = read_groups(tmp_path, groups)["random_9"]
    assert [sessions.users for sessions in found] == [USERS, USERS]
    assert [each["utility"] for each in found[1].figures[1]] == pytest.approx([float("nan")] + 18 * [0.1], nan_ok=True)
    assert found[0].told["u18"] == [Told(("a", "b"), (0,))]


def test_sessions_of_other_users_are_refused(tmp_path: Path) -> None:
    (group,) = all_groups(["random_9"], 1, ["ann"])
    finish(tmp_path, group, users=["bob"])
    with pytest.raises(ValueError, match="not the users of this run"):
        read_groups(tmp_path, [group])


@pytest.mark.parametrize("change", [{"told": []}, {"told": {"ann": [{"items": ["a"]}]}}, {"figures": {"x": []}}])
def test_a_file_that_is_no_session_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    (group,) = all_groups(["random_9"], 1, ["ann"])
    finish(tmp_path, group, **change)
    with pytest.raises(ValueError, match=r"00000\.json: not the figures of sessions"):
        read_groups(tmp_path, [group])


@pytest.mark.parametrize("world", [1, 2, 5])
def test_processes_divide_what_is_missing(tmp_path: Path, world: int) -> None:
    groups = all_groups(["random_9", "eubo_2"], 1, USERS)
    finish(tmp_path, groups[1])
    mine = []
    for rank in range(world):
        dealt = DealtGroups(tmp_path, groups)
        dealt.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
        mine += dealt.mine
        assert list(dealt.predict_dataloader()) == dealt.mine
    assert sorted(mine) == [0, 2, 3, 4, 5]
