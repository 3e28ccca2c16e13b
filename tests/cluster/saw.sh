#!/bin/sh
# What a job, or one task of a step, saw: one line of tab-separated words in /scratch/seen/jobs. Then it sleeps.
# Usage: saw WHERE [SECONDS]; WHERE is batch or step.
umask 000
line=$(
  printf '%s\t' "$1" "$SLURM_JOB_ID" "$SLURMD_NODENAME" "${SLURM_RESTART_COUNT:-0}" "$(date +%s%3N)" \
    "${SLURM_JOB_GPUS-}" "${SLURM_STEP_GPUS-}" "${CUDA_VISIBLE_DEVICES-}" "${SLURM_ARRAY_TASK_ID-}" "$(id -un)"
)
printf '%s.\n' "$line" >>/scratch/seen/jobs
[ -z "${2-}" ] || exec sleep "$2"
