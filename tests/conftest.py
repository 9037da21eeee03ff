"""What every test shares: drawn examples that are the same in every run, and no example database on the disk."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "minivit",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("minivit")
