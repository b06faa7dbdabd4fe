"""The embedded backend's seeded defects: what each breaks, where it shows, which case must notice.

`DEFECTS` is one table. The place where a defect lives asks `if "id" in defects`; a test makes
sure that every row has such a place and every place such a row.
"""

from __future__ import annotations

from conformance.reference.defects import Defect

DEFECTS: tuple[Defect, ...] = ()
