#!/bin/busybox sh
# The first program of the machine: puts a layer that is forgotten over the host's files, and goes on there.
/bin/busybox mkdir -p /proc /sys /dev /host /layer /new
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# What goes wrong here ends the first program, and so the machine, with a panic that says so.
set -e
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host
mount -t tmpfs -o size=75% layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /new
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts pts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t bpf bpf /new/sys/fs/bpf
mount -t cgroup2 cgroup /new/sys/fs/cgroup
mount -t tracefs trace /new/sys/kernel/tracing
mount -t tmpfs run /new/run
mkdir /new/run/machine /new/run/machine/tmp
cp -r /programs /modules-folder /tests.sh /new/run/machine/
exec switch_root /new /bin/sh /run/machine/tests.sh
