#!/usr/bin/env bash
# Sets up LiteRT for 64-bit ARM under user-mode emulation (docs/target.md); needs Debian or Ubuntu, no root:
#   bash bench/arm_emulator.sh FOLDER [PYTHON]
# FOLDER then contains qemu/ (the emulator), root/ (an ARM Python and its libraries) and site/ (LiteRT and NumPy for
# ARM, LiteRT in the version of PYTHON's). Name FOLDER in TIGHTFIT_ARM. About 120 MB; nothing is installed.
set -euo pipefail
folder=$(mkdir -p "${1:?name a folder}" && cd "$1" && pwd)
python=${2:-python3}
cd "$folder"
mkdir -p apt/lists/partial apt/cache/archives/partial qemu root site wheels
touch apt/status
apt=(-qq -o Debug::NoLocking=1 -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User="$(id -un)")
arm=("${apt[@]}" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$folder/apt"
     -o Dir::State::status="$folder/apt/status")
apt-get "${arm[@]}" update
apt-get "${arm[@]}" -y --no-install-recommends --download-only install \
  python3-minimal libpython3-stdlib libstdc++6 zlib1g >/dev/null
for package in apt/cache/archives/*.deb; do dpkg -x "$package" root; done
(cd qemu && { apt-get "${apt[@]}" download qemu-user-static || apt-get "${apt[@]}" download qemu-user; } \
  && for package in *.deb; do dpkg -x "$package" .; done)
interpreter=$(basename "$(readlink -f root/usr/bin/python3)")
version=${interpreter#python}
litert=$("$python" -c 'import importlib.metadata as m; print(m.version("ai-edge-litert"))')
platforms=(); for old in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${old}_aarch64"); done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d wheels \
  --python-version "$version" "${platforms[@]}" --platform manylinux2014_aarch64 \
  "ai-edge-litert==$litert" numpy flatbuffers protobuf backports.strenum typing_extensions tqdm ml_dtypes
for wheel in wheels/*.whl; do "$python" -m zipfile -e "$wheel" site; done
rm -rf apt wheels
echo "ready; set TIGHTFIT_ARM=$folder"
