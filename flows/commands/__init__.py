"""The commands of `saqia`, a module a theme; flows/cli.py puts them together."""
