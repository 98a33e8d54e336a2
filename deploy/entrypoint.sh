#!/bin/sh
# Run padim with its secrets from files: where PADIM_DATABASE_URL_FILE or SINK_..._FILE names a file, its
# content is the value of PADIM_DATABASE_URL or SINK_.... So no secret is shown by `docker inspect`.
set -eu
for name in $(env | sed -n 's/^\(PADIM_[A-Z0-9_]*\|SINK_[A-Z0-9_]*\)_FILE=.*/\1/p'); do
    eval "file=\$${name}_FILE"
    if [ ! -r "$file" ]; then
        echo "${name}_FILE: $file cannot be read by user $(id -u); give it mode 444 in a folder that only you can enter" >&2
        exit 78
    fi
    value=$(cat "$file")
    export "$name=$value"
    unset "${name}_FILE"
done
exec padim "$@"
