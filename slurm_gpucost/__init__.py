"""slurm-gpucost: what a GPU-hour costs under Slurm, and who spent it."""

__version__ = "0.1.0"
