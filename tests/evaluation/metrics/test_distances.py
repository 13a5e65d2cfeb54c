import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from prefprior.evaluation.metrics.distances import MMD_SCALE, MMD_SIGMA, frechet, mmd, prdc


@pytest.mark.parametrize(("x", "y"), [(50, 70), (5, 6)])
def test_frechet_agrees_with_the_matrix_square_root(x: int, y: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(x, 8)), rng.normal(1, 2, size=(y, 8))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * np.real(np.trace(sqrtm(ca @ cb)))
    assert frechet(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-4)


def test_frechet_of_a_cloud_with_itself_is_0() -> None:
    cloud = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 8)))
    assert frechet(cloud, cloud) == pytest.approx(0, abs=1e-9)


def test_mmd_agrees_with_a_computation_by_hand_and_ignores_masked_points() -> None:
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [99.0]])

    def k(d: float) -> float:
        return float(np.exp(-(d**2) / (2 * MMD_SIGMA**2)))

    expected = MMD_SCALE * ((2 + 2 * k(1)) / 4 + 1 - 2 * (k(3) + k(2)) / 2)
    assert float(mmd(a, b, None, torch.tensor([True, False]))) == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def clouds() -> torch.Tensor:
    """Real and made points of one distribution."""
    return torch.randn(2, 300, 4, generator=torch.Generator().manual_seed(0))


def test_prdc_of_equal_clouds(clouds: torch.Tensor) -> None:
    same = prdc(*clouds)
    assert same["precision"] > 0.8
    assert same["recall_cloud"] > 0.8
    assert same["coverage_cloud"] > 0.9
    assert same["density"] == pytest.approx(1, abs=0.2)


def test_prdc_of_distant_clouds(clouds: torch.Tensor) -> None:
    real, made = clouds
    assert prdc(real, made + 50) == {"precision": 0, "recall_cloud": 0, "density": 0, "coverage_cloud": 0}


def test_prdc_of_a_collapsed_cloud(clouds: torch.Tensor) -> None:
    real, made = clouds
    collapsed = prdc(real, made * 1e-3)
    assert collapsed["precision"] > 0.9
    assert collapsed["recall_cloud"] < 0.05
