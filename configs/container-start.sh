#!/bin/bash
# Entry of the service images: with BCS_CONFIG_TYPE=render it writes the configuration files from the templates beside this
# script and the exported variables, then it becomes the service, with all arguments unchanged. Any other value of
# BCS_CONFIG_TYPE leaves the files alone. Nothing is printed but errors: the files hold secrets.
set -euo pipefail

# Before this script has variables of its own.
declare -A exported
for _exported in $(compgen -e); do
    exported[$_exported]=${!_exported}
done

cd "$(dirname "${BASH_SOURCE[0]}")"
home=$PWD
program=${home##*/}

# Writes FILE from FILE.template: $NAME and ${NAME} become the variable's value, literally and once; unset is empty.
# Refuses to write a JSON file with nothing where a value must be, which the service could only call a syntax error.
render() { # render FILE
    local LC_ALL=C # bytes, whatever the values hold
    local file=$1 rest text='' name value before
    local -a missing=()
    rest=$(cat "$file.template" && echo .) # the dot keeps the line ends at the end
    rest=${rest%.}
    while [[ $rest =~ ^([^$]*)\$(\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)|.?)(.*)$ ]]; do
        text+=${BASH_REMATCH[1]}
        name=${BASH_REMATCH[3]}${BASH_REMATCH[4]}
        if [ -z "$name" ]; then # a dollar that starts no name stays; what follows it may start one
            text+='$'
            rest=${BASH_REMATCH[2]}${BASH_REMATCH[5]}
            continue
        fi
        rest=${BASH_REMATCH[5]}
        value=${exported[$name]-}
        before=${text%"${text##*[![:space:]]}"}
        if [ -z "$value" ] && [[ $file == *.json && $before == *: ]]; then
            missing+=("$name")
        fi
        text+=$value
    done
    text+=$rest
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "$home/$file.template: these variables must be set: ${missing[*]}" >&2
        exit 1
    fi
    # A new file, readable by this user alone.
    rm -f "$file"
    (umask 077 && printf '%s' "$text" >"$file")
}

if [ "${exported[BCS_CONFIG_TYPE]-}" = render ]; then
    for template in *.template; do
        render "${template%.template}"
    done
fi
[ -x "$program" ] || chmod +x "$program"
exec "$home/$program" "$@"
