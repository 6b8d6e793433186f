# Runs the test programs on the host's files; the lines with `machine:` are read by `cargo xtask kernels`.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/run/machine/tmp
# What goes wrong here ends the machine with a panic.
set -e
mkdir -p /lib/modules
mount --bind "$(cat /run/machine/modules-folder)" /lib/modules
ip link set dev lo up
# From here on the console is for the tests, and for a kernel that panics.
dmesg --console-level emerg
echo "machine: $(uname -r) is up"
set +e
code=0
for file in /run/machine/programs/*; do
    # The first line is a folder, each further one a word of the command.
    set --
    while IFS= read -r line; do set -- "$@" "$line"; done < "$file"
    cd "$1" || code=1
    shift
    "$@" < /dev/null 2>&1 || code=1
done
echo "machine: done $code"
echo o > /proc/sysrq-trigger
# That ends the machine, a moment later, and its files at once: nothing is started any more.
while :; do :; done
