#!/bin/sh
# One identity, that of Newsreel; a bucket takes seven volumes.
set -eu
umask 077
cat > /tmp/identities.json <<JSON
{"identities": [{"name": "newsreel",
  "credentials": [{"accessKey": "newsreel", "secretKey": "$S3_SECRET"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
exec weed server -dir=/data -s3 -s3.config=/tmp/identities.json -volume.max=200 \
    -master.volumeSizeLimitMB=1024
