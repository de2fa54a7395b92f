"""How properties are searched in every unit test: without a clock."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any-machine",
    deadline=None,  # an example may take as long as a busy machine lets it
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any-machine")
