"""Balancing: what clients see of keys that are slow, limited or failing."""

import pytest

from coo_middleware.core.providers import Algorithm
from tests.balancing import CONTROLS, simulate
from tests.proof import choose


@pytest.fixture(scope="module")
def controls() -> dict[str, tuple[float, float]]:
    after = {policy: simulate(policy, choose(600, 3600))[1] for policy in CONTROLS}
    return {policy: (phase.error_rate, phase.mean) for policy, phase in after.items()}


@pytest.mark.parametrize("algorithm", ["least_loaded", "round_robin", "hybrid"])
def test_clients_see_fewer_errors(algorithm: Algorithm, controls: dict[str, tuple[float, float]]) -> None:
    """With a slow, a failing and a limited key, clients see less than a fifth of the errors that blind choices cost
    them, and none while all are well; by least load and hybrid they wait less too.
    """
    before, after = simulate(algorithm, choose(600, 3600))
    errors, mean = (min(each) for each in zip(*controls.values(), strict=True))

    assert 0 == before.errors
    assert after.error_rate < errors / 5
    assert after.share("failing") < 0.1
    assert after.mean < mean * {"least_loaded": 0.97, "hybrid": 0.9, "round_robin": 1.25}[algorithm]
