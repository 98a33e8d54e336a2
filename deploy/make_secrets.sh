#!/bin/sh
# Make the passwords of compose.yaml, once: sh make_secrets.sh. Needs openssl; mosquitto's password file is made by
# mosquitto_passwd, of this machine or of the broker's image.
set -eu
cd "$(dirname "$0")"
if [ -e secrets ]; then
    echo "deploy/secrets is there already; remove it to make other passwords" >&2
    exit 1
fi
umask 077
making=$(mktemp -d secrets.XXXXXX)
trap 'rm -rf "$making"' EXIT
password() { openssl rand -hex 24; }
database=$(password)
mqtt=$(password)
printf %s "$database" >"$making/database_password"
printf 'postgresql://padim:%s@database:5432/padim' "$database" >"$making/database_url"
printf %s "$mqtt" >"$making/mqtt_password"
printf 'padim:%s\n' "$mqtt" >"$making/mosquitto_passwords"
if command -v mosquitto_passwd >/dev/null; then
    mosquitto_passwd -U "$making/mosquitto_passwords"
else
    docker run --rm --user "$(id -u)" -v "$PWD/$making:/made" eclipse-mosquitto:2 mosquitto_passwd -U /made/mosquitto_passwords
fi
# Readable for the users in the containers, in a folder that only this user can enter.
chmod 444 "$making"/*
mv "$making" secrets
trap - EXIT
echo "made deploy/secrets: keep it out of backups that others can read"
