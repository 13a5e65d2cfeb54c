"""The loop of the studio, closed on the built-in world: simulated people answer a running server over HTTP, a model is
trained on what they said, the server takes it up, and others answer that one.

    python scripts/loop.py                              # three rounds of 500 visitors with 20 answers each
    python scripts/loop.py --visitors 50 --rounds 1 --new 40   # a look, in minutes

The first checkpoint is trained on a tenth of the world's people. Beside each round stand that checkpoint and as many
further steps on the old data alone; at the end, a checkpoint trained on all people. Each is judged by new visitors,
the same for all, whom no model was trained on: they answer `--after` grids of a server of its own, and the true utility
of the pictures that it then makes for them is 0 for a random picture and 1 for the best of the catalogue. Diversity is
1 - cosine, between two pictures of one person and between pictures of two. Intervals are over people.

Every fourth answer is a rating. What it says of pictures in general is biased, because a policy chose the picture;
weighted by the propensity that the studio keeps with it, it estimates the mean over the pictures that could be shown.
Both stand beside the truth about the catalogue.

Whatever is finished is not run again, so an interrupted loop continues.
"""

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.checkpoint import describe
from prefprior.files import read_json, write_json
from prefprior.gallery.manifest import file_hash
from prefprior.runs import CHECKPOINT
from prefprior.space import Space
from prefprior.studio.store.albums import Albums
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import People
from prefprior.studio.store.picture_files import PictureFiles, default_of
from prefprior.studio.store.tokens import Tokens
from scripts.judging import OLD, ROUND, Judged, off_policy, report
from scripts.visitors import PLATFORM, RATING_EVERY, Client, World, all_play

ROOT = Path(__file__).resolve().parents[1]
WAITING_SECONDS = 600.0  # for a server to be ready, or to take a checkpoint up


@dataclass(frozen=True)
class Server:
    """One that runs."""

    port: int
    token: str

    def client(self) -> Client:
        """Another connection."""
        return Client(self.port, self.token)

    def model(self) -> str | None:
        """What it serves; None while it is not ready."""
        try:
            return str(self.client().send("GET", "/readyz")["model"])
        except (OSError, HTTPException):
            return None


def printed(words: Sequence[str]) -> str:
    return "python " + " ".join(words)


def trained(folder: Path, name: str, *words: str) -> Path:
    """The checkpoint of a training run."""
    made = folder / "runs" / "train" / name / CHECKPOINT
    if not made.is_file():
        command = ["train.py", *words, f"run_dir={made.parent.relative_to(folder)}"]
        print(printed(command), flush=True)
        finished = subprocess.run(
            [sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, stdout=subprocess.DEVNULL
        )
        if finished.returncode:
            raise SystemExit(f"error: `{printed(command)}` failed; its own message stands above")
    return made


@contextmanager
def serving(folder: Path, name: str, checkpoint: Path, *words: str) -> Iterator[Server]:
    """A server on a database of its own, with a token for us."""
    run = folder / "runs" / "serve" / name
    database = Database.open(f"sqlite:///{_made(run) / 'studio.sqlite'}")
    token = Tokens(database).issue(PLATFORM, ["ask", "read"], days=7)
    database.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "serve.py", f"checkpoint={checkpoint.relative_to(folder)}", f"run_dir={run.relative_to(folder)}",
        f"port={port}", "making.n=16", "rates.token=1000000", *words,
    ]  # fmt: skip
    print(printed(command), flush=True)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, stdout=subprocess.DEVNULL
    )
    server = Server(port, token)
    try:
        until(lambda: server.model() is not None or process.poll() is not None, f"`{printed(command)}` is not ready")
        if process.poll() is not None:
            raise SystemExit(f"error: `{printed(command)}` ended; its own message stands above")
        yield server
    finally:
        process.terminate()
        process.wait()


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Waits."""
    end = time.monotonic() + WAITING_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"error: {otherwise} after {WAITING_SECONDS:.0f} s")
        time.sleep(0.5)


def judged(folder: Path, name: str, checkpoint: Path, world: World, args: argparse.Namespace) -> Judged:
    """How well a checkpoint serves new visitors."""
    kept = folder / "judged" / f"{name}.json"
    if not kept.is_file():
        users = world.new[: args.new]
        with serving(folder, f"new-{name}", checkpoint, "renew=false") as server:
            all_play(
                world,
                server.client,
                users,
                args.after,
                1000,
                args.at_once,
                f"new visitors: {name}",
                rates=False,
                made=True,
            )
        run = folder / "runs" / "serve" / f"new-{name}"
        database = Database.open(f"sqlite:///{run / 'studio.sqlite'}")
        albums, found = Albums(database, PictureFiles(database, default_of(database, run))), dict[str, Tensor]()
        for user in users:
            person = People(database).of_platform(PLATFORM, user, make=False)
            album = None if person is None else albums.of(person.profiles[0])
            assert album is not None
            found[user] = torch.stack([picture.embedding_D for picture in album.pictures])
        database.close()
        space = Space.from_dict(describe(checkpoint)["space"])
        write_json(kept, Judged.of(world, found, space).plain())
    figures = read_json(kept)
    return Judged(np.array(figures["utility"]), np.array(figures["within"]), float(figures["between"]))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=4000, help="of the world")
    parser.add_argument("--known", type=int, default=400, help="of them, whom the first checkpoint is trained on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--visitors", type=int, default=500, help="a round")
    parser.add_argument("--answers", type=int, default=20, help="of each visitor")
    parser.add_argument("--new", type=int, default=200, help="visitors who judge")
    parser.add_argument("--after", type=int, default=10, help="grids that they answer")
    parser.add_argument("--at-once", type=int, default=16, help="visitors at the same time")
    parser.add_argument("--epochs", type=int, default=5, help="of 100 steps, after each round")
    parser.add_argument("--lr", type=float, default=1e-3, help="of these steps")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "loop")
    args = parser.parse_args(words)
    for name in ("people", "known", "rounds", "visitors", "answers", "new", "after", "at_once", "epochs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    if args.answers < RATING_EVERY:
        parser.error(f"--answers must be at least {RATING_EVERY}, got {args.answers}: every fourth one is a rating")
    folder, console = _made(args.folder.resolve()), Console(soft_wrap=True)
    given = {key: value for key, value in vars(args).items() if key not in ("folder", "at_once", "rounds")}
    begun = folder / "loop.json"
    if begun.is_file() and (before := read_json(begun)) != given:
        changed = ", ".join(f"--{key.replace('_', '-')}" for key in given if before.get(key) != given[key])
        sys.exit(f"error: {folder} was begun with another {changed}: choose another --folder")
    write_json(begun, given)

    world = World(args.people, args.known, folder / "embeddings")
    if args.rounds * args.visitors > len(world.visitors) or args.new > len(world.new):
        parser.error(
            f"this world has {len(world.visitors):,} visitors and {len(world.new):,} new ones: choose fewer, or more "
            "--people"
        )
    rounds = [world.visitors[number * args.visitors :][: args.visitors] for number in range(args.rounds)]
    going_on = (f"optimizer.lr={args.lr:g}", f"trainer.max_epochs={args.epochs}")
    known = f"source.people={args.known}"
    start = trained(folder, "start", known)
    # What may be gained is known before the hours that the rounds take.
    all_people = judged(folder, "all", trained(folder, "all", f"source.people={args.people}"), world, args)
    found = {"start": judged(folder, "start", start, world, args)}
    for number, checkpoint in played(folder, start, world, rounds, going_on, args).items():
        old = old_alone(folder, number, known, going_on)
        found[f"{OLD} {number}"] = judged(folder, f"old{number}", old, world, args)
        found[f"{ROUND} {number}"] = judged(folder, f"round{number}", checkpoint, world, args)
    found["all people"] = all_people
    report(found, args.visitors * args.answers, console)
    database = Database.open(f"sqlite:///{folder / 'runs' / 'serve' / 'loop' / 'studio.sqlite'}")
    console.print(str(off_policy(database, world, rounds)), highlight=False)
    database.close()


def old_alone(folder: Path, number: int, known: str, going_on: Sequence[str]) -> Path:
    """The checkpoint after as many further steps as after a round, on what was there before the first one."""
    before = "start" if number == 1 else f"old{number - 1}"
    return trained(folder, f"old{number}", known, f"init_from=runs/train/{before}", *going_on)


def played(
    folder: Path, start: Path, world: World, rounds: Sequence[Sequence[str]], going_on: Sequence[str],
    args: argparse.Namespace,
) -> dict[int, Path]:  # fmt: skip
    """The checkpoint of each round, by one server that takes each of them up."""
    database = "source.database=sqlite:///runs/serve/loop/studio.sqlite"
    checkpoints = [
        start,
        *(folder / "runs" / "train" / f"round{number + 1}" / CHECKPOINT for number in range(len(rounds))),
    ]
    missing = [number for number in range(len(rounds)) if not checkpoints[number + 1].is_file()]
    if missing:
        with serving(folder, "loop", checkpoints[missing[0]]) as server:
            for number in range(missing[0], len(rounds)):
                asks = file_hash(checkpoints[number])
                until(lambda: server.model() == asks, f"{checkpoints[number]} was not taken up")  # noqa: B023
                all_play(world, server.client, rounds[number], args.answers, 0, args.at_once, f"round {number + 1}")
                init = f"init_from=runs/train/{checkpoints[number].parent.name}"
                trained(folder, f"round{number + 1}", "experiment=app", init, database, *going_on)
    return {number + 1: path for number, path in enumerate(checkpoints[1:])}


if __name__ == "__main__":
    main()
