"""Compares the two arms of a study (`python serve.py 'study=[RUN,RUN]'`) by what people answered and liked.

    python scripts/study.py sqlite:///runs/serve/studio/studio.sqlite
    python scripts/study.py postgresql+psycopg://studio@localhost/studio --measure made --effect 0.1 --power 0.9

Each measure is a mean over people. Intervals (95 %) resample people, p values permute people between the arms, or the
arms within people where each saw pictures of both. The win rate is how often the second arm has more, a tie being
half. An effect is a difference as a share of the measure's range; of answers, a share of their mean. p values hold for
one look: choose the measure and the number of people before the study begins. They are also given corrected for all
measures that are compared (Holm), and as many people are needed as show an effect at 0.05 divided by their number.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.errors import require_choice
from prefprior.studio.comparison import NAMES, Compared, Plan, compared
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Studies, Study


def main(words: list[str]) -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="its URL, as for serve.py")
    parser.add_argument("--study", type=int, help="its number; by default the last one")
    parser.add_argument("--measure", nargs="+", default=list(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--effect", type=float, default=Plan.effect, help="that must not be missed")
    parser.add_argument("--power", type=float, default=Plan.power, help="the probability with which it is found")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    given = parser.parse_args(words)
    try:
        plan = Plan(effect=given.effect, power=given.power, seed=given.seed)
        for name in given.measure:
            require_choice("--measure", name, NAMES)
        database = Database.open_as_it_is(given.database)
        studies = Studies(database)
        study = chosen(studies.all(), given.study, database.name)
        outcomes = studies.outcomes(study)
        database.close()
        found = compared(study, outcomes, plan, given.measure)
    except ValueError as error:
        sys.exit(f"error: {error}")
    arms = [told.arm for told in outcomes.values()]
    print(f"study {study.id}")
    for place, arm in enumerate(study.arms):
        answers = sum(told.answers for told in outcomes.values() if told.arm == place)
        policies = ", ".join(f"{page} {told}" for page, told in named(arm["policies"]).items())
        print(
            f"  {'AB'[place]}: {arm['run']} ({arm['model'][:12]}; {policies}): {arms.count(place):,} people, "
            f"{answers:,} answers"
        )
    for one in found:
        print("\n".join(lines(one, study, plan)))
    if missing := [name for name in given.measure if name not in {one.name for one in found}]:
        print(f"not compared, for lack of people in both arms: {', '.join(missing)}")


def chosen(all_of_them: list[Study], number: int | None, database: str) -> Study:
    """The study that is asked for."""
    if not all_of_them:
        raise ValueError(f"there is no study in {database}: begin one with python serve.py 'study=[RUN,RUN]'")
    if number is None:
        return all_of_them[-1]
    known = {study.id: study for study in all_of_them}
    if number not in known:
        raise ValueError(f"there is no study {number} in {database}: it has {', '.join(map(str, known))}")
    return known[number]


def named(policies: dict[str, dict[str, object]]) -> dict[str, str]:
    """Policies by page, as an export names them."""
    return {page: str(node["_target_"]).rpartition(".")[2].lower() for page, node in policies.items()}


def lines(one: Compared, study: Study, plan: Plan) -> list[str]:
    """A measure in words."""
    first, second = one.means
    whose = (
        f"{one.people[0]:,} people, within each" if one.paired else f"{one.people[0]:,} and {one.people[1]:,} people"
    )
    change, wins = one.difference, one.wins
    verdict = "no difference is shown" if one.winner is None else f"{'AB'[one.winner]} has more"
    share = f"{plan.effect:g} of " + ("their mean" if one.name == "answers" else "the range")
    return [
        f"{one.name}: {one.words} ({whose})",
        f"  A {first:.3f}, B {second:.3f}; B less A {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]",
        f"  B wins {wins.value:.1%} [{wins.low:.1%}, {wins.high:.1%}]; p = {one.p:.2g}, corrected {one.p_holm:.2g}: "
        f"{verdict}",
        f"  a difference of {share} needs {one.needed:,} people for a power of {plan.power:.0%} "
        f"(p < {one.level:.2g}: 0.05 shared by all measures)",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
