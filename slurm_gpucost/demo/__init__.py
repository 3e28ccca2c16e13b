"""The demo's recording of a real cluster, and its config."""
