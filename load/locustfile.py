"""What Locust is given: `locust -f load/locustfile.py --host URL --api NAME`.

Everything is in `load.users`; this file only names it, so that the command reads well. Options:
`--api`, `--api-key`, `--load-profile`, `--out`, `--seed` beside Locust's own.
"""

from load.users import MemoryUser, ProfileShape

__all__ = ["MemoryUser", "ProfileShape"]
