"""A command that was killed, or ran out of disk, at any of its file operations does its work when it is run again."""

import shutil
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path

import pytest

from tests.crash.faults import Fault
from tests.crash.processes import Ended, run
from tests.crash.scenarios import SCENARIOS, Scenario, content

Record = Callable[[str, object], None]
KILLED = -9
FINISHED = "holds a finished run"  # how train refuses to train again
SIZES = (0, 64, 512, 4096, 16384, 65536, 2**18, 2**20)  # bytes at which a file system is full


class Unbroken:
    """A run that nothing happened to."""

    def __init__(self, scenario: Scenario, root: Path) -> None:
        self.scenario, self.root = scenario, root
        self.fresh = root / "fresh"
        self.fresh.mkdir()
        scenario.prepare(self.fresh)
        ended, self.content = self.stopped(None)
        assert ended.code == 0, ended.said
        self.operations, self.synced = ended.operations, ended.synced

    def stopped(self, fault: Fault | None) -> tuple[Ended, dict[str, object]]:
        """Runs in a copy of the input with a fault, then once more without; how the first ended, and what is there."""
        folder = self.root / "work"
        shutil.copytree(self.fresh, folder)
        ended = run(folder, self.scenario.command, self.scenario.words, fault)
        if fault is not None:
            again = run(folder, self.scenario.command, self.scenario.words)
            assert again.code == 0 or FINISHED in again.said, f"run again: {again.said}"
        found = content(folder)
        shutil.rmtree(folder)
        return ended, found

    def wrong(self, fault: Fault) -> str | None:
        """What is not as it should be after a fault."""
        try:
            ended, found = self.stopped(fault)
        except AssertionError as error:
            shutil.rmtree(self.root / "work")
            return str(error)
        if fault.kind == "kill" and ended.code != KILLED:
            return f"not killed: {ended.said}"
        if fault.kind != "kill" and not (ended.code == 0 or _is_for_people(ended)):
            return f"ended with {ended.code}: {ended.said}"
        differing = [name for name in {*found, *self.content} if found.get(name) != self.content.get(name)]
        return f"differ after it was run again: {sorted(differing)}" if differing else None


def _is_for_people(ended: Ended) -> bool:
    last = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    return ended.code == 1 and "Traceback" not in ended.said and bool(last) and "cannot" in last[-1]


@pytest.fixture
def unbroken(request: pytest.FixtureRequest, tmp_path: Path) -> Unbroken:
    return Unbroken(SCENARIOS[request.param], tmp_path)


def require_none_wrong(unbroken: Unbroken, faults: Iterable[Fault], record_property: Record) -> None:
    tried = {fault: unbroken.wrong(fault) for fault in faults}
    wrong = [f"{fault}: {reason}" for fault, reason in tried.items() if reason is not None]
    record_property("faults", len(tried))
    record_property("survived", len(tried) - len(wrong))
    assert not wrong, "\n".join(wrong)


every = pytest.mark.parametrize("unbroken", SCENARIOS, indirect=True)


@pytest.mark.crash
@every
def test_all_files_are_synced_to_disk(unbroken: Unbroken) -> None:
    made = {name for name, found in unbroken.content.items() if found != "folder"} - set(content(unbroken.fresh))
    synced = {Path(path).relative_to(unbroken.root / "work").as_posix() for path in unbroken.synced}
    assert made
    assert sorted(made - synced) == []


@pytest.mark.crash
@every
def test_killed_at_every_operation(unbroken: Unbroken, record_property: Record) -> None:
    require_none_wrong(unbroken, (Fault("kill", at) for at in range(len(unbroken.operations))), record_property)


@pytest.mark.crash
@every
def test_disk_full_at_every_write(unbroken: Unbroken, record_property: Record) -> None:
    writes = [at for at, what in enumerate(unbroken.operations) if what in ("open", "fsync", "os.mkdir")]
    require_none_wrong(unbroken, (Fault("full", at) for at in writes), record_property)


@pytest.mark.crash
@every
def test_disk_full_in_the_middle_of_a_file(unbroken: Unbroken, record_property: Record) -> None:
    require_none_wrong(unbroken, (Fault("size", size) for size in SIZES), record_property)


# The short part, of the ordinary suite: a few operations of the commands that are quickest.
@pytest.mark.parametrize("unbroken", ["embed", "shard"], indirect=True)
def test_killed_or_disk_full_at_a_few_operations(unbroken: Unbroken, record_property: Record) -> None:
    places = range(3, len(unbroken.operations), 16)
    faults = [Fault(kind, at) for at, kind in zip(places, cycle(("kill", "full")))]
    require_none_wrong(unbroken, [*faults, Fault("size", 512)], record_property)
