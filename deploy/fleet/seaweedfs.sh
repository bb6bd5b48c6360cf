#!/bin/sh
# One identity, that of Newsreel; a bucket takes seven volumes.
set -eu
umask 077
cat > /tmp/identities.json <<JSON
{"identities": [{"name": "newsreel",
  "credentials": [{"accessKey": "newsreel", "secretKey": "$S3_SECRET"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
( # versions, once it answers: what was published is served whatever becomes of its key
    until printf 's3.bucket.create -name newsreel\ns3.bucket.versioning -name newsreel -enable\nexit\n' |
        weed shell 2>&1 | grep -q "versioning set to Enabled"; do sleep 2; done
) &
exec weed server -dir=/data -s3 -s3.config=/tmp/identities.json -volume.max=200 \
    -master.volumeSizeLimitMB=1024 -master.telemetry=false
