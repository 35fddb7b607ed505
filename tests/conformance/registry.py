"""The checks that the conformance suite runs over: a new check is one more entry."""

from __future__ import annotations

from tests.conformance.examples import distribution, expectations, online, replay, served, transforms

EXAMPLES = tuple(module.EXAMPLE for module in (online, served, distribution, replay, transforms, expectations))
