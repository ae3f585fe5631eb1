#!/usr/bin/env bash
# One memory for each line of jobs.txt, as tasks of an array:
#   memcli distill --array examples/slurm/grid.toml > jobs.txt && mkdir -p memories
#   sbatch --array=1-"$(wc -l < jobs.txt)" examples/slurm/grid.sh
# Two minutes before the job's time is over Slurm sends SIGTERM to the step; memcli then saves its state and ends with 75,
# and the task is put into the queue again, where it goes on.
#SBATCH --job-name=grid
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=00:30:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=grid-%a.log
set -euo pipefail

export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
line=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "${JOBS:-jobs.txt}")

code=0
srun bash -c "exec $line" || code=$?
if [[ "$code" == 75 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$code"
