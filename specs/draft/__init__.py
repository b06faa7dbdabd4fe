"""From an OpenAPI file to a first `x-conformance` overlay: what its shapes let one guess.

>>> from specs.draft import draft, render
>>> text = render(draft("openapi.json"))

Pure inference: nothing is sent. Each guess stands with its reason; what could not be guessed is a
question. A draft always passes `memconform spec check`.
"""

from specs.draft.drafting import draft
from specs.draft.guesses import Draft, Guess
from specs.draft.rendering import render

__all__ = ["Draft", "Guess", "draft", "render"]
