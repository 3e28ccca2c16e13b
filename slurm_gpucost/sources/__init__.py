"""All input: what witnesses say, read and parsed."""
