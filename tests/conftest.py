"""Settings of all tests: hypothesis repeats itself in CI, and torch keeps to one thread."""

import os

import torch
from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=slow, max_examples=60)
settings.register_profile("local", deadline=None, suppress_health_check=slow, max_examples=60)
settings.register_profile("thorough", deadline=None, suppress_health_check=slow, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local"))
torch.set_num_threads(1)
