"""The ledger host's service: takes nodes' batches in, asks Slurm, answers people's questions over HTTP."""
