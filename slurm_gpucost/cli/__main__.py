"""``python3 -m slurm_gpucost.cli``."""

from slurm_gpucost.cli import main

main()
