#!/bin/sh
# Trains the mnist preset twice on the same plan, with the product and with
# PyTorch, and compares the losses: the means over the last 50 steps must be
# within 3% of each other. Exits with 1 where they are not.
#
#   test/parity/run.sh --dataset DIR [--steps 300] [--threads 2] [--python python3] [--keep DIR]
#
# DIR holds MNIST's IDX files. Needs Go, and a Python with PyTorch 1.13 or later
# and numpy; with diffusers 0.21 or later there, PyTorch's side is its UNet2DModel.
# On two cores it takes about 10 minutes. --threads is for PyTorch; the product
# runs two local workers of one thread each. --keep names a folder for what the
# two runs wrote; without it that is deleted.
set -eu

dataset='' steps=300 threads=2 python=python3 keep=''
usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 2
}
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage
	case $1 in
	--dataset) dataset=$2 ;;
	--steps) steps=$2 ;;
	--threads) threads=$2 ;;
	--python) python=$2 ;;
	--keep) keep=$2 ;;
	*) usage ;;
	esac
	shift 2
done
[ -n "$dataset" ] || usage
[ "$steps" -ge 50 ] || {
	echo "run.sh: --steps $steps: the comparison takes the last 50 steps; give at least that many" >&2
	exit 2
}
[ -d "$dataset" ] || {
	echo "run.sh: --dataset $dataset: there is no such folder" >&2
	exit 2
}
dataset=$(cd "$dataset" && pwd)
if [ -n "$keep" ]; then
	mkdir -p "$keep"
	work=$(cd "$keep" && pwd)
	if [ -e "$work/store" ]; then
		echo "run.sh: $work has a run already; name another folder" >&2
		exit 2
	fi
else
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
fi

python=$(command -v "$python" || echo "$python")
case $python in
*/*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;;
esac
cd "$(dirname "$0")/../.."
"$python" -c 'import torch, numpy' || {
	echo "run.sh: $python has no PyTorch or no numpy; name another one by --python" >&2
	exit 2
}

echo "the product: $steps steps" >&2
go run ./cmd/ddpm-coordinator --workers 2 --local --threads 1 --preset mnist --dataset "$dataset" \
	--steps "$steps" --run parity --data-dir "$work/data" --storage "$work/store" --listen 127.0.0.1:0

echo "its plan, for PyTorch" >&2
go run ./test/parity/plan --spec "$work/store/runs/parity/run.json" --steps "$steps" --out "$work/plan"

"$python" test/parity/torch_train.py --plan "$work/plan" --threads "$threads" --out "$work/losses.txt"
"$python" test/parity/compare.py --metrics "$work/store/runs/parity/metrics.jsonl" --torch "$work/losses.txt"
