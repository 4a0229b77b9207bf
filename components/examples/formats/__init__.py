"""One module per format that people keep examples in; each turns one record into one `Example`."""
