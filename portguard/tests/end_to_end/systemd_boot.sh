# Boots systemd with nothing but portguard, on a copy of this host's files that is forgotten afterwards. Runs as the first
# process of new namespaces (mount, PID, network, UTS, IPC, cgroup).
#   $1  an empty folder    $2  the program    $3  the unit    $4  the policy
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
root="$1/root"
cp "$2" "$1/program"
cp "$3" "$1/unit"
cp "$4" "$1/policy"
mount -t overlay none -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t bpf -o mode=0700 none "$root/sys/fs/bpf"
install -m 755 "$1/program" "$root/usr/bin/portguard"
install -D -m 600 "$1/policy" "$root/etc/portguard/policy.yaml"
rm -rf "$root"/etc/systemd/system/* "$root/var/lib/portguard"
echo > "$root/etc/fstab"
install -m 644 "$1/unit" "$root/etc/systemd/system/portguard.service"
cat > "$root/etc/systemd/system/only.target" <<'UNIT'
[Unit]
Description=portguard and the journal
DefaultDependencies=no
Wants=portguard.service systemd-journald.service
UNIT
ip link set lo up
ip link add srv0 type veth peer name cli0
ip link set srv0 up
ip link set cli0 up
cd "$root"
mkdir -p old
pivot_root . old
cd /
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=only.target --log-target=journal
