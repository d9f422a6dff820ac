#!/bin/sh
# Stands for docker-autoheal, whose image comes from a registry of images: its method, with the defaults of its README.
# Every 5 s the engine is asked for running containers that are unhealthy and carry the label autoheal=true; each is
# restarted with 10 s to stop. It does not look afterwards, counts no restarts, and sees no container that has ended.
# $1 is the engine's socket.

interval_seconds=5 stop_seconds=10
filters='{"health":["unhealthy"],"label":["autoheal=true"]}'

ask() {
    path=$1
    shift
    curl --silent --max-time 30 --unix-socket "$socket" "$@" "http://localhost$path"
}

socket=$1
while true; do
    ask /containers/json --get --data-urlencode "filters=$filters" | jq --raw-output '.[].Id' | while read -r id; do
        ask "/containers/$id/restart?t=$stop_seconds" --request POST
    done
    sleep "$interval_seconds"
done
