#!/usr/bin/env bash
# Makes sure that the servers which the integration tests start are installed (Debian package names), and puts the
# MongoDB stand-in and the Python packages of the tools into .cache. As root it installs what is missing; otherwise it
# says what is missing and fails. It starts nothing: the tests run their own servers, on free ports, in private
# directories.
set -euo pipefail
cd "$(dirname "$0")/.."

mongo_source=integration-tests/mongo-server
mongo_cache=.cache/mongo-server

# A change of the version or of the launcher makes the cache stale.
mongo_stamp=$(cat "$mongo_source/pom.xml" "$mongo_source/MongoDbServer.java" | sha256sum | cut -d' ' -f1)
mongo_cached() { [ "$(cat "$mongo_cache/stamp" 2>/dev/null)" = "$mongo_stamp" ]; }

# Python packages of the tools, in a virtual environment of their own.
python_requirements=integration-tests/tools/requirements.txt
python_cache=.cache/python
python_stamp=$(sha256sum "$python_requirements" | cut -d' ' -f1)
python_cached() { [ "$(cat "$python_cache/stamp" 2>/dev/null)" = "$python_stamp" ]; }

# Debian keeps servers out of an ordinary user's PATH.
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

missing=()
need() { # need PACKAGE COMMAND-OR-FILE
    case $2 in
        /*) [ -e "$2" ] || missing+=("$1") ;;
        *) have "$2" || missing+=("$1") ;;
    esac
}

need util-linux setpriv
need python3 python3
# The module that fills a virtual environment is what Debian leaves out of python3.
python_cached || python3 -c 'import ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
need openssl openssl
# The install guide makes its certificates with it.
need golang-cfssl cfssl
need curl curl
# The console is tested in a real browser.
need chromium chromium
need kubernetes-client kubectl
need default-jre-headless java
need libzookeeper-java /usr/share/java/zookeeper.jar
need libslf4j-java /usr/share/java/slf4j-simple.jar
need etcd-server etcd
need mariadb-server mariadbd
need mariadb-client mariadb
need rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server
if ! mongo_cached; then
    need default-jdk-headless javac
    need maven mvn
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "the integration tests need these packages: ${missing[*]}" >&2
        echo "install them, or run 'make test-deps' as root" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! mongo_cached; then
    rm -rf "$mongo_cache"
    mkdir -p "$mongo_cache/jars" "$mongo_cache/classes"
    mvn --quiet --batch-mode --file "$mongo_source/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$PWD/$mongo_cache/jars"
    javac -classpath "$mongo_cache/jars/*" -d "$mongo_cache/classes" "$mongo_source/MongoDbServer.java"
    echo "$mongo_stamp" >"$mongo_cache/stamp"
fi

if ! python_cached; then
    rm -rf "$python_cache"
    python3 -m venv "$python_cache"
    "$python_cache/bin/pip" install --quiet --disable-pip-version-check --requirement "$python_requirements"
    echo "$python_stamp" >"$python_cache/stamp"
fi
