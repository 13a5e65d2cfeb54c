"""What commands import, and the classes that they name; `multiprocessing` imports it into the process that forks."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import torch

import prefprior.baselines.mean
import prefprior.baselines.nearest
import prefprior.data.sources.table
import prefprior.decoders.retrieval
import prefprior.embed
import prefprior.evaluate
import prefprior.sample
import prefprior.shard
import prefprior.train  # noqa: F401

torch.set_num_threads(1)
