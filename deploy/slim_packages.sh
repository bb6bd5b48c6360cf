#!/bin/sh
# Takes out of an environment what no service runs: packages' own tests, C and Cython sources, and
# the debugging symbols of extension modules. Shared libraries that wheels bring (NAME.libs) stay as
# they are: their headers were rewritten, and strip may break them.
#   sh slim_packages.sh /opt/venv
set -eu
cd "$1"/lib/python3*/site-packages
find . -type d -name tests -prune -exec rm -rf {} +
find . \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -delete
find . -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
