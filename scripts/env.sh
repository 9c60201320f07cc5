# Sourced by the other scripts: one virtual environment in .venv, made once and again whenever pyproject.toml changes.
# Gives: need_system COMMAND=PACKAGE …, need_python (sets $venv), need_packages runtime|control|test, need_bench NAME, need_oracle, need_vyper,
# need_postgresql, need_tpm_module, need_sparkplug_host, need_aiosmtpd, need_dlt645, need_dsmr, need_sunspec, need_home_assistant, need_schemathesis, need_other_python, need_anvil, need_prometheus,
# need_package_tools (sets $venv_package).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1
venv=$PWD/.venv

say() { printf '%s\n' "$*" >&2; }

# Install Debian packages when we may, else name them and stop.
install_system() {
    if [ "$(id -u)" -ne 0 ]; then
        say "missing on this machine: $*"
        say "install it with:  sudo apt-get install $*"
        exit 2
    fi
    say "installing $* …"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
}

# need_system mosquitto=mosquitto …: each is COMMAND=PACKAGE, or /FILE=PACKAGE where a package has no command.
need_system() {
    local pair missing=()
    for pair in "$@"; do
        if [[ $pair == /* && -e ${pair%%=*} ]]; then continue; fi
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if [ ${#missing[@]} -gt 0 ]; then install_system "${missing[@]}"; fi
}

# The first of $PYTHON, python3.11, python3 that runs and is 3.11, 3.12 or 3.13.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "no Python 3.11 to 3.13 found (tried \$PYTHON, python3.11, python3); install python3 or set PYTHON=/path/to/python"
    exit 2
}

make_venv() { # DIRECTORY
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        install_system "$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')"
    fi
    "$python" -m venv "$1"
}

# need_packages runtime|control|docs|test: the project itself, editable, and what it runs, is told of or is tested with.
need_packages() {
    local spec=. stamp version
    version=$(sha256sum pyproject.toml | cut -c1-16)
    stamp=$venv/.$1-$version
    if [ -e "$stamp" ] || [ -e "$venv/.test-$version" ]; then return; fi # test holds all of the others
    [ "$1" = runtime ] || spec=".[$1]"
    [ -x "$venv/bin/python" ] || make_venv "$venv"
    say "installing Meterseal and its libraries into $venv …"
    "$venv/bin/python" -m pip install --quiet --editable "$spec"
    touch "$stamp"
}

# need_apart DIRECTORY REQUIREMENTS WHAT: packages that cannot live beside ours, in an environment of their own.
need_apart() {
    local stamp
    stamp=$1/.$(sha256sum "$2" | cut -c1-16)
    if [ -e "$stamp" ]; then return; fi
    [ -x "$1/bin/python" ] || make_venv "$1"
    say "installing $3 …"
    "$1/bin/python" -m pip install --quiet --requirement "$2"
    touch "$stamp"
}

# need_bench NAME …: what the benchmark of a command line names.
need_bench() {
    local word file needs files=()
    for word in "$@"; do
        while read -r file; do files+=("$file"); done < <(find benchmarks tests/campaigns -name "${word//-/_}.py")
    done
    if [ ${#files[@]} -eq 0 ]; then return; fi
    needs=$("$venv/bin/python" -m tests.tiers.needs "${files[@]}")
    eval "$needs"
}

# pycose and cwt want an older cbor2 than we do.
need_oracle() {
    need_apart "$PWD/.venv-oracle" tests/interop/oracle/requirements.txt "the independent COSE implementations that the tests compare with"
    export METERSEAL_ORACLE_PYTHON=$PWD/.venv-oracle/bin/python
}

# The bill of materials of the package has a library of its own; the rest of the tools is the system's.
need_package_tools() {
    need_system debootstrap=debootstrap systemd-nspawn=systemd-container readelf=binutils git=git
    venv_package=$PWD/.venv-package
    need_apart "$venv_package" scripts/deb/requirements.txt "the library that writes bills of materials"
}

# So does vyper, which compiles the contract once more to see that its bytecode comes from its source.
need_vyper() {
    need_apart "$PWD/.venv-vyper" tests/ledger_client/evm/vyper-requirements.txt "the compiler of the contract"
    export METERSEAL_VYPER=$PWD/.venv-vyper/bin/vyper
}

# The Sparkplug host of the tests wants an older paho-mqtt.
need_sparkplug_host() {
    need_apart "$PWD/.venv-sparkplug" tests/gateway/feeds/sparkplug-requirements.txt "the Sparkplug host that the tests talk to"
    export METERSEAL_SPARKPLUG_PYTHON=$PWD/.venv-sparkplug/bin/python
}

# DL/T 645 meters and masters of somebody else's.
need_dlt645() {
    need_apart "$PWD/.venv-dlt645" tests/interop/dlt645/requirements.txt "the DL/T 645 library that the tests talk to"
    export METERSEAL_DLT645_PYTHON=$PWD/.venv-dlt645/bin/python
}

# A mail server of somebody else's.
need_aiosmtpd() {
    need_apart "$PWD/.venv-aiosmtpd" tests/gateway/alarms/notification/requirements.txt "the mail server that the tests talk to"
    export METERSEAL_AIOSMTPD_PYTHON=$PWD/.venv-aiosmtpd/bin/python
}

# A P1 reader of somebody else's.
need_dsmr() {
    need_apart "$PWD/.venv-dsmr" tests/interop/p1/requirements.txt "the P1 library that the tests compare with"
    export METERSEAL_DSMR_PYTHON=$PWD/.venv-dsmr/bin/python
}

# A SunSpec client of somebody else's.
need_sunspec() {
    need_apart "$PWD/.venv-sunspec" tests/interop/sunspec/requirements.txt "the SunSpec library that the tests compare with"
    export METERSEAL_SUNSPEC_PYTHON=$PWD/.venv-sunspec/bin/python
}

# Home Assistant wants Python 3.13.2 or later; where there is none, the test says so.
need_home_assistant() {
    local candidate
    export METERSEAL_HOME_ASSISTANT_PYTHON=$PWD/.venv-home-assistant/bin/python
    for candidate in /usr/bin/python3.13 python3.13; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 13, 2))' 2>/dev/null; then
            PYTHON=$candidate need_apart "$PWD/.venv-home-assistant" tests/interop/home_assistant/requirements.txt "the Home Assistant that the tests announce meters to"
            return
        fi
    done
    say "no Python 3.13.2 or later with venv on this machine: tests/interop/home_assistant will fail without it"
}

# What asks the HTTP API by its description.
need_schemathesis() {
    need_apart "$PWD/.venv-schemathesis" tests/gateway/api/schemathesis-requirements.txt "the tool that asks the HTTP API by its description"
    export METERSEAL_SCHEMATHESIS=$PWD/.venv-schemathesis/bin/schemathesis
}

# The tests compare what two Pythons make: 3.13 beside $venv's, or 3.11 where $venv's is 3.13. Where there is none, the
# test says so.
need_other_python() {
    local home=$PWD/.venv-other-python version candidate
    version=$("$venv/bin/python" -c 'import sys; print("3.11" if sys.version_info[:2] == (3, 13) else "3.13")')
    export METERSEAL_OTHER_PYTHON=$home/bin/python
    for candidate in "python$version" "/usr/bin/python$version"; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            PYTHON=$candidate need_apart "$home" tests/oracle/other-python-requirements.txt "Python $version, which the tests compare with"
            return
        fi
    done
    say "no python$version with venv on this machine: tests/oracle/test_same_bytes.py will fail without it"
}

# The EVM node of the tests: a binary from npm, as its lock file pins it; nothing of the package is run to install it.
need_anvil() {
    local home=$PWD/.anvil stamp machine
    case $(uname -m) in
        x86_64) machine=amd64 ;;
        aarch64) machine=arm64 ;;
        *) say "there is no anvil for $(uname -m)"; exit 2 ;;
    esac
    stamp=$home/.$(sha256sum tests/ledger_client/evm/node/package-lock.json | cut -c1-16)
    export METERSEAL_ANVIL=$home/node_modules/@foundry-rs/anvil-linux-$machine/bin/anvil
    if [ -e "$stamp" ]; then return; fi
    say "installing the EVM node that the tests run against …"
    mkdir -p "$home"
    cp tests/ledger_client/evm/node/package.json tests/ledger_client/evm/node/package-lock.json "$home/"
    (cd "$home" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    touch "$stamp"
}

# PostgreSQL, as Debian builds it. Its package makes and starts a cluster, which nobody asked for: tests start their own.
need_postgresql() {
    local found refusal=/etc/postgresql-common/createcluster.d/meterseal-tests.conf
    for found in /usr/lib/postgresql/*/bin/postgres; do
        if [ -x "$found" ]; then return; fi
    done
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -p "${refusal%/*}"
        echo "create_main_cluster = false" >"$refusal"
    fi
    install_system postgresql
    rm -f "$refusal"
}

# The PKCS#11 module over a TPM; its folder bears the machine's name.
need_tpm_module() {
    local found
    for found in /usr/lib/*/pkcs11/libtpm2_pkcs11.so.1; do
        if [ -e "$found" ]; then return; fi
    done
    install_system libtpm2-pkcs11-1
}

# Prometheus and its promtool, as Debian builds them, unpacked and not installed: no service of theirs is to run here.
need_prometheus() {
    local home=$PWD/.prometheus
    if command -v prometheus >/dev/null || [ -e "$home/usr/bin/promtool" ]; then return; fi
    say "fetching the Prometheus that the tests scrape with …"
    mkdir -p "$home"
    if ! (cd "$home" && apt-get download -qq prometheus promtool >&2); then
        [ "$(id -u)" -ne 0 ] || apt-get update -qq >&2
        (cd "$home" && apt-get download -qq prometheus promtool >&2) || { say "install it with:  sudo apt-get install prometheus"; exit 2; }
    fi
    for package in "$home"/*.deb; do dpkg -x "$package" "$home"; done
    rm "$home"/*.deb
}
