"""Which candidate the one verdict is about: chosen on rows that decide nothing in it."""
