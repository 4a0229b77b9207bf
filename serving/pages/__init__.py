"""Pages for people, served with the endpoint under /ui."""

from serving.pages.mount import Pages

__all__ = ["Pages"]
