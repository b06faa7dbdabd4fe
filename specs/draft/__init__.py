"""From an OpenAPI file to a first `x-conformance` overlay: what its shapes let one guess.

>>> from specs.draft import draft, render
>>> text = render(draft("openapi.json"))

Pure inference: nothing is sent (`conformance.backend.probing` confirms a draft). Each guess
stands with its reason; what could not be guessed is a question. A draft always passes
`memconform spec check`.
"""

from specs.draft.drafting import draft, sound
from specs.draft.guesses import Draft, Guess
from specs.draft.rendering import applied, render

__all__ = ["Draft", "Guess", "applied", "draft", "render", "sound"]
