#!/usr/bin/env bash
# Packs the programs as operators of the original know them:
#
#   scripts/package.sh BINARIES OUTPUT VERSION
#
# OUTPUT/bcs.VERSION/<group>/<program>/   program, templates, start script, Dockerfile; MD5 in every group
# OUTPUT/bcs.VERSION.tgz                  all of it
# OUTPUT/bcs-server-VERSION.tgz           the community edition's tree: bin/ and VERSION
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
binaries=${1:?directory of the binaries} output=${2:?directory for the packages} version=${3:?version}

services=(bcs-api bcs-storage bcs-user-manager bcs-cluster-manager)
all="$output/bcs.$version"
rm -rf "$all"

pack() { # pack GROUP PROGRAM
    local dir="$all/$1/$2" extra=''
    mkdir -p "$dir"
    cp "$binaries/$2" "$repository/configs/container-start.sh" "$repository/configs/$2/"*.template "$dir/"
    [ "$2" != bcs-cluster-manager ] || extra=' /data/bcs/swagger'
    sed "s|@PROGRAM@|$2|g; s|@EXTRA@|$extra|g" "$repository/configs/Dockerfile.package" >"$dir/Dockerfile"
}

for program in "${services[@]}"; do
    pack bcs-services "$program"
done
pack bcs-mesos-master bcs-check
mkdir -p "$all/bcs-services/bcs"
cp "$binaries/bcs" "$all/bcs-services/bcs/"
cp -r "$repository/configs/systemd" "$all/bcs-services/"

for group in "$all"/*/; do
    (cd "$group" && find . -type f ! -name MD5 -printf '%P\0' | sort -z | xargs -0 md5sum >MD5)
done
tar -C "$output" -czf "$all.tgz" "bcs.$version"

community="$all.community"
rm -rf "$community"
mkdir -p "$community/bin"
for program in "${services[@]}" bcs-check; do
    cp --link "$all"/*/"$program/$program" "$community/bin/"
done
cp --link "$all/bcs-services/bcs/bcs" "$community/bin/"
echo "$version" >"$community/VERSION"
tar -C "$community" -czf "$output/bcs-server-$version.tgz" bin VERSION
rm -rf "$community"
echo "$all.tgz"
echo "$output/bcs-server-$version.tgz"
