#!/bin/sh
while [ "${1#-}" != "$1" ]; do case "$1" in -l) shift 2;; *) shift;; esac; done
host=$1; shift
exec nsenter --net=/run/netns/$host unshare --uts sh -c "hostname $host; $*"
