#!/bin/sh
# What a guest does after its root file system is there; PID 1 (init.c) runs it once.
# Everything that differs between guests comes from /run/harness, which the harness put into the initramfs.
cd /run/harness || exit 1
exec </dev/null >/dev/console 2>&1

hostname "$(cat hostname)"
printf '127.0.0.1 localhost\n' >/etc/hosts
cat hosts >>/etc/hosts

# net: "<interface> <address/prefix>" a line
ip link set lo up
while read -r interface address; do
	ip address add "$address" dev "$interface"
	ip link set "$interface" up
done <net

# modules.map: "<path below /lib/modules/<release>> <file below modules/>" a line. A replacement is laid over the
# kernel's own file, so that modprobe and modules.dep stay as they are.
while read -r path file; do
	mount --bind "modules/$file" "/lib/modules/$(uname -r)/$path" || echo "harness-boot: cannot replace $path"
done <modules.map

mkdir -p /run/sshd
/usr/sbin/sshd

# -I: nothing of the guest's environment reaches the agent.
setsid python3 -I -S agent.py agent.json </dev/null >/dev/console 2>&1 &
echo "harness-boot: done"
