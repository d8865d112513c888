#!/bin/sh
# A certificate for localhost that lasts a month, for a first look. Browsers warn of it, since nobody they know has signed it.
set -eu
cd "$(dirname "$0")"
mkdir -p tls
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout tls/key.pem -out tls/certificate.pem
