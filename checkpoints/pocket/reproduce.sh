#!/usr/bin/env bash
# Trains from nothing all that this folder holds, with the project's commands, into OUT (outputs/pocket).
# usage, from the project's root: checkpoints/pocket/reproduce.sh PHOTOS SOUNDS [OUT]
#   PHOTOS, SOUNDS: folders with labels.jsonl, see the card beside this script
# What is there is kept and what was stopped goes on, so it may be started again. Times are those that such a step took
# for these weights on one core of the two that we have, some fifteen hours in all. The steps ran one by one over several
# days, some of them from scratch scripts that call the same code (HISTORY.md and the decoders' cards say which): nobody
# has run this script from end to end.
set -euo pipefail
photos=$1 sounds=$2 out=${3:-outputs/pocket}
here=$(dirname "$0") data=$out/data
nextgpt() { .venv/bin/python -m nextgpt_core "$@"; }

nextgpt data images --shards 20 --autoencoder-minutes 45 --denoiser-minutes 60 --out "$out/decoders/image" # 4 h 30 min:
#   shards 40 min, autoencoder 45, captions 10, reader 20, painter 75, its errors 5, denoiser 60
# Of the shipped clip decoder the layers along time are untrained: 11 minutes of them did harm (its card). Its painter and UNet
# went on from an earlier version twice.
nextgpt data clips --shards 9 --denoiser-minutes 0 --image "$out/decoders/image" # 35 min: frames 14, painter 14, UNet 7
nextgpt data sounds --shards 8 --steps 5000 --recordings "$sounds" --out "$out/decoders/audio" # 55 min, 45 of them the denoiser

cp "$here/config.json" "$out"
nextgpt start --checkpoint "$out" --out "$out/start" --photos "$photos" --sounds "$sounds" # 50 min, nearly all of it looking
nextgpt dialogues --out "$data" --photos "$photos" --sounds "$sounds" --clips 1500 --pictures 2500 --count 20000 # 12 min
nextgpt train decode --checkpoint "$out/start" --out "$out/decode" --steps 92 --batch 40 --rate 1.5 \
    --data "$data/captions.jsonl" # 25 min
blend() { # NAME=WEIGHT … as files of $data
    for part in "$@"; do echo "$data/${part%=*}.jsonl=${part#*=}"; done
}
nextgpt train instruct --checkpoint "$out/decode" --out "$out/instruct" --steps 4000 --batch 8 --rate .75 --group-rates input=0 --longest 950 \
    --data $(blend files=.17 announced=.12 people=.17 several=.10 words=.10 talk=.12 single=.08 follow_up=.08 replay=.05 pairs=.01) # 7 h
nextgpt train project --checkpoint "$out/instruct" --out "$out/project" --steps 800 --batch 128 --conversations 8192 --longest 400 --bits 6 \
    --data $(blend single=.2 pairs=.2 captions=.3 several=.12 people=.09 announced=.03 follow_up=.03 words=.03) # 70 min
cp "$out/project/trained.safetensors" "$out"
nextgpt evaluate --checkpoint "$out" --photos "$photos" --sounds "$sounds" --html "$out/report.html"
