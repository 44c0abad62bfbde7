#!/usr/bin/env bash
# Assembles what an image adds to its base, as a directory tree: the layout that the charts' commands, arguments and
# mounts expect. The Dockerfile copies these trees; the tests start services out of them.
#
#   scripts/image-tree.sh PROGRAM BINARIES ROOT
#
# PROGRAM is a service, or bcs for the operator's tools; its binary is taken from the directory BINARIES.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
program=${1:?program} binaries=${2:?directory of the binaries} root=${3:?directory to fill}

put() { # put FILE DIRECTORY: a link where that is possible, for the binaries are big
    cp --link "$1" "$2/" 2>/dev/null || cp "$1" "$2/"
}

rm -rf "${root:?}/data" "$root/usr"
if [ "$program" = bcs ]; then
    mkdir -p "$root/usr/local/bin" "$root/data/bcs"
    put "$binaries/bcs" "$root/usr/local/bin"
    chmod 1777 "$root/data/bcs"
    exit
fi

home=$root/data/bcs/$program
mkdir -p "$home" "$root/data/bcs/logs/bcs" "$root/data/bcs/cert"
put "$binaries/$program" "$home"
cp "$repository/configs/container-start.sh" "$repository/configs/$program/"*.template "$home/"
chmod 755 "$home/container-start.sh"
chmod 644 "$home/"*.template
[ "$program" != bcs-cluster-manager ] || mkdir -p "$root/data/bcs/swagger"
# Any user may write configuration, pid file and logs, and nobody may take away another one's files.
find "$root/data/bcs" -mindepth 1 -type d -exec chmod 1777 {} +
chmod 755 "$root/data" "$root/data/bcs"
