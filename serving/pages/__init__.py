"""Pages for people, served with the endpoint under /ui."""

from serving.pages.mount import create_app

__all__ = ["create_app"]
