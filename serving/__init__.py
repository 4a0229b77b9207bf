"""What answers: the engine, the OpenAI-compatible API, the pages, and the service that holds them.

Imports components; nothing in components or flows imports this package.
"""

import components  # noqa: F401 - libraries are told not to phone home before they are imported
