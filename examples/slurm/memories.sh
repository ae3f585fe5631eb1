#!/usr/bin/env bash
# One memory for each task of an array, here by seed: sbatch examples/slurm/memories.sh
# A task learns in one process; for several GPUs see docs/scale.md. Two minutes before the job's time is over Slurm
# sends SIGTERM to the step; memcli then saves its state and ends with 75, and the task is put into the queue again.
#SBATCH --job-name=memories
#SBATCH --array=0-2
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=00:30:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=memory-%a.log
set -euo pipefail

output="memory-$SLURM_ARRAY_TASK_ID.safetensors"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

code=0
srun memcli distill "${DATA:-photos}" -o "$output" --recipe best --time-budget 1h --seed "$SLURM_ARRAY_TASK_ID" --resume || code=$?
if [[ "$code" == 75 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
if [[ "$code" != 0 ]]; then exit "$code"; fi
srun memcli eval "$output" --data "${DATA:-photos}" --json > "memory-$SLURM_ARRAY_TASK_ID.json"
