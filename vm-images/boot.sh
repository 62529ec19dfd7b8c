#!/bin/sh
# What a guest does after its root file system is there; PID 1 (init.c) runs it once.
# Nothing here is of one guest only: name, addresses and keys come later, by an order to the agent ("become"), so that
# what runs by then can be saved and started again as another guest.
cd /run/harness || exit 1
exec </dev/null >/dev/console 2>&1

ip link set lo up

# modules.map: "<path below /lib/modules/<release>> <file below modules/>" a line. A replacement is laid over the
# kernel's own file, so that modprobe and modules.dep stay as they are.
while read -r path file; do
	mount --bind "modules/$file" "/lib/modules/$(uname -r)/$path" || echo "harness-boot: cannot replace $path"
done <modules.map

# The host key that is there now lets sshd start; each connection reads the file anew, and finds the guest's own there.
mkdir -p /run/sshd
/usr/sbin/sshd

# -I: nothing of the guest's environment reaches the agent.
setsid python3 -I -S agent.py agent.json </dev/null >/dev/console 2>&1 &
echo "harness-boot: done"
