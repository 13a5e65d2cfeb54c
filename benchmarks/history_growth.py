"""What a training step costs as histories grow: the cost of each rating beside what it is at the shortest history.

python benchmarks/history_growth.py --json out.json
"""

from side_by_side import arguments, fake_batch, fake_space, interleaved, report
from train_step import stepper

from prefprior.models.prior.prior import Prior

LENGTHS = (32, 64, 128, 256, 512)


def main() -> None:
    """Times all lengths and prints their growth over a straight line."""
    parser = arguments(__doc__, people=8, history=max(LENGTHS), dim=1280)
    args = parser.parse_args()
    lengths = [length for length in LENGTHS if length <= args.history]
    heads = args.width // 64
    prior = Prior(
        space=fake_space(args.dim), width=args.width, depth=args.depth, heads=heads,
        denoiser_width=args.width, denoiser_depth=args.denoiser_depth, denoiser_heads=heads,
    )  # fmt: skip
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
