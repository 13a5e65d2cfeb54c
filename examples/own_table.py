"""Your own ratings and embeddings: train a prior, measure it, and recommend items to a new user.

python examples/own_table.py ratings.csv vectors.npy ids.txt [further words for train.py]
"""

import sys

import prefprior
from prefprior.composition import data_of_checkpoint
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor


def main(ratings: str, embeddings: str, items: str, *words: str) -> None:
    """Prints how well the prior ranks for unseen users, and what it recommends."""
    table = (f"source.ratings={ratings}", f"source.embeddings={embeddings}", f"source.items={items}")
    run = prefprior.train("experiment=table", *table, *words)
    measured = prefprior.evaluate(f"checkpoint={run.folder}", "predictors=[prior,mean]", "people=null")
    for key, value in measured.metrics.items():
        if key.endswith(("recall_20@all", "auc@all")):
            print(f"{key} {value:.3f}")

    checkpoint = run.folder / "prior.safetensors"
    predictor = TrainedPredictor.load(checkpoint)
    catalogue = data_of_checkpoint(checkpoint, predictor.facts).catalogue
    liked = catalogue.embeddings_ND[:3]  # a new user, who likes the first three items
    history = History.of(liked, [1.0, 1.0, 1.0], ages_K=[0, 1, 2], user="new")
    rows, _ = predictor.top(history, catalogue, 8)
    new = [row for row in rows[0].tolist() if row > 2]
    print("recommended:", ", ".join(catalogue.ids[row] for row in new[:5]))


if __name__ == "__main__":
    main(*sys.argv[1:])
