"""What a training step costs as histories grow: the cost of each rating beside what it is at the shortest history.

python benchmarks/history_growth.py --json out.json
"""

from side_by_side import arguments, fake_batch, interleaved, light_prior, report
from train_step import stepper

LENGTHS = (32, 64, 128, 256, 512)


def main() -> None:
    """Times all lengths and prints their growth over a straight line."""
    parser = arguments(__doc__, people=8, history=max(LENGTHS), dim=1280)
    args = parser.parse_args()
    lengths = [length for length in LENGTHS if length <= args.history]
    prior = light_prior(args)
    seconds = interleaved(
        {str(n): stepper(prior, fake_batch(args.people, n, 1, args.dim), 1) for n in lengths}, args.rounds
    )
    # What a step costs without any history is no growth: the line is through the two shortest.
    first, second = lengths[:2]
    slope = (seconds[str(second)] - seconds[str(first)]) / (second - first)
    line = {n: seconds[str(first)] + slope * (n - first) for n in lengths}
    report(
        args,
        {f"step_s_at_{n}": seconds[str(n)] for n in lengths}
        | {f"over_the_line_at_{n}": seconds[str(n)] / line[n] for n in lengths}
        | {f"over_proportional_at_{n}": seconds[str(n)] / seconds[str(first)] * first / n for n in lengths},
    )


if __name__ == "__main__":
    main()
