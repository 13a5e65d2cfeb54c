"""What a question costs, by policy and kind, and ours beside BoTorch's PairwiseGP with qEUBO, in one run.

    pip install -e '.[elicitation]'
    python benchmarks/elicitation.py --json out.json      # 2,000 tastes x 1,500 candidates, one thread
    python benchmarks/elicitation.py --people 10 --answers 20

A question is chosen and answered, and the answer is taken into account. The process is fitted to each answer, which is
a part of that; a belief of sampled tastes looks through the network only once in several answers, which is not. Tastes
are random. Seconds are those of the processor, on one thread, per person: of one, and of `--people` who take their turn
one after the other, each with answers and weights of their own. A last ratio is that of grids searched one by one and
for as many people at once as the studio serves together.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from side_by_side import fake_space, interleaved, report
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.asker import Asker, Inquiry
from prefprior.elicitation.belief import Belief, Moves
from prefprior.elicitation.gaussian import GaussianBelief
from prefprior.elicitation.policies.directed import Directed
from prefprior.elicitation.policies.eubo import Eubo
from prefprior.elicitation.policies.information import Information
from prefprior.elicitation.policies.mcmv import Mcmv
from prefprior.elicitation.policies.pairwise_gp import PairwiseGp
from prefprior.elicitation.policies.policy import Policy
from prefprior.elicitation.policies.random import Random
from prefprior.elicitation.policies.roam import Roam
from prefprior.elicitation.policies.thompson import Thompson
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import Kind
from prefprior.elicitation.tastes import Tastes
from prefprior.space import Space
from prefprior.studio.worker import MOST_TOGETHER

GAUSSIAN = PairwiseGp()
POLICIES: dict[str, Policy] = {
    "random": Random(), "roam": Roam(), "thompson": Thompson(), "information": Information(), "eubo": Eubo(),
    "mcmv": Mcmv(), "directed": Directed(), "pairwise_gp": GAUSSIAN,
}  # fmt: skip
BASELINE = "pairwise_gp"
BATCHED = "information_9+none"
SIDE = 1024  # of the matrices whose product says how fast the core is


class Asked:
    """Somebody who answers by one of the tastes, one question after another."""

    def __init__(self, belief: Posterior, utility_N: Tensor, direction_ND: Tensor, asker: Asker, seed: int) -> None:
        self.belief, self.utility_N, self.direction_ND, self.asker = belief, utility_N, direction_ND, asker
        self.generator = torch.Generator().manual_seed(seed)

    def turn(self) -> None:
        """One question and its answer."""
        question = self.asker.ask(self.belief, self.direction_ND, self.generator)
        assert question is not None
        if question.kind.is_rating:
            answer = question.rated(int(self.utility_N[question.items[0]] > 0) + 1)
        else:
            answer = question.chosen([max(question.items, key=lambda item: float(self.utility_N[item]))])
        self.asker.tell(self.belief, answer, self.generator)


class Crowd:
    """Random tastes about random candidates, and people who have some of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        g = torch.Generator().manual_seed(0)
        self.space: Space = fake_space(args.dim)
        self.raw_ND = torch.randn(args.candidates, args.dim, generator=g)
        self.direction_ND = self.space.directions(self.raw_ND)
        utility_PN = torch.randn(args.tastes, args.dim, generator=g) @ self.raw_ND.T
        self.utility_PN = (utility_PN - utility_PN.mean(1, keepdim=True)) / utility_PN.std(1, keepdim=True)
        nobody: Any = None  # nothing looks through a network here, so there is none
        none_PVD = torch.zeros(args.tastes, 0, args.dim)
        self.tastes = Tastes(likes=nobody, known=nobody, reference_RD=self.raw_ND, imagined_PVD=none_PVD)
        self.model = AnswerModel()

    def asked(self, policy: str, kind: Kind, answers: int, seed: int) -> Asked:
        """Somebody who has given some answers."""
        belief: Posterior = Belief(self.tastes, self.raw_ND, self.utility_PN, self.model, Moves(below=0))
        if policy == BASELINE:
            belief = GaussianBelief(self.raw_ND, self.raw_ND, self.space, self.model, axes=GAUSSIAN.axes)
        asker = Asker(policy=POLICIES[policy], kind=kind)
        one = Asked(belief, self.utility_PN[seed % len(self.utility_PN)], self.direction_ND, asker, seed)
        for _ in range(answers):
            one.turn()
        return one


def everybody(people: list[Asked]) -> Callable[[], None]:
    """A turn of each of them."""

    def turn() -> None:
        for one in people:
            one.turn()

    return turn


def one_by_one(people: list[Asked]) -> Callable[[], None]:
    """The next question of each, as if nobody else waited."""

    def ask() -> None:
        for one in people:
            one.asker.ask(one.belief, one.direction_ND, one.generator)

    return ask


def at_once(people: list[Asked]) -> Callable[[], None]:
    """The next question of all, as the studio asks who waits at the same time."""

    def ask() -> None:
        people[0].asker.ask_all([Inquiry(one.belief, one.direction_ND, one.generator) for one in people])

    return ask


def gflops(rounds: int) -> float:
    """Of the core, in float32."""
    one, other = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return 2 * SIDE**3 / interleaved({"product": lambda: one @ other}, rounds, clock=time.process_time)["product"] / 1e9


def processor() -> str:
    """Its name, where Linux says it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Times all policies and kinds in turn, and prints ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tastes", type=int, default=2000)
    parser.add_argument("--candidates", type=int, default=1500)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--answers", type=int, default=10, help="given before the first turn")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    crowd = Crowd(args)
    kinds = [Kind(1), Kind(2), Kind(9), Kind(9, none=True)]
    ways = {
        f"{name}_{kind}": (name, kind)
        for name, policy in POLICIES.items()
        for kind in kinds
        if policy.fewest <= kind.shown <= policy.most
    }
    speed = gflops(args.rounds)
    alone = {way: crowd.asked(*of, args.answers, seed=0).turn for way, of in ways.items()}
    seconds = interleaved(alone, args.rounds, clock=time.process_time)
    together = {
        way: everybody([crowd.asked(*of, seed % 10, seed) for seed in range(args.people)])
        for way, of in ways.items()
        if of[0] != BASELINE
    }
    of_each = interleaved(together, max(args.rounds // 2, 1), clock=time.process_time)
    waiting = [crowd.asked(*ways[BATCHED], seed % 10, seed) for seed in range(MOST_TOGETHER)]
    batched = interleaved({"one": one_by_one(waiting), "all": at_once(waiting)}, args.rounds, clock=time.process_time)
    report(
        args,
        {
            **{f"{way}_ms": 1e3 * each for way, each in seconds.items()},
            **{f"{way}_ms_of_{args.people}": 1e3 * each / args.people for way, each in of_each.items()},
            f"{BATCHED}_one_by_one_over_{MOST_TOGETHER}_at_once": batched["one"] / batched["all"],
            "pairwise_gp_over_eubo": seconds["pairwise_gp_2"] / seconds["eubo_2"],
            "pairwise_gp_over_information": seconds["pairwise_gp_2"] / seconds["information_2"],
            "gflops": speed,
            "processor": processor(),
        },
    )


if __name__ == "__main__":
    main()
