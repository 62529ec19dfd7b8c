#!/bin/sh
# A fence agent that asks the harness. Pacemaker's fencer calls it with options on standard input, one a line.
# To fence a node, it writes the node's name to "asked" and waits until the harness has written the name to "dead": the
# node is powered off. Without an answer it fails, and no node takes over.
folder=/run/harness/cluster
marks=/dev/shm/harness-takeover
action=off port=
while read -r line; do
	case $line in
	action=*) action=${line#*=} ;;
	port=* | nodename=*) port=${line#*=} ;;
	esac
done
mark() { echo "$1 $(cut -d' ' -f1 /proc/uptime)" >>$marks; }
case $action in
metadata | meta-data)
	cat <<-XML
		<?xml version="1.0" ?>
		<resource-agent name="fence_harness" shortdesc="Fencing by the harness">
		<longdesc>Asks the harness to power a node off.</longdesc>
		<parameters>
		<parameter name="action" unique="0" required="1"><content type="string" default="off"/></parameter>
		<parameter name="port" unique="0" required="0"><content type="string"/></parameter>
		</parameters>
		<actions>
		<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>
		<action name="list"/><action name="monitor"/><action name="metadata"/>
		</actions>
		</resource-agent>
	XML
	;;
off | reboot)
	mark asked
	echo "$port" >>$folder/asked
	for i in $(seq 300); do
		if grep -qxF "$port" $folder/dead 2>/dev/null; then
			mark fenced
			exit 0
		fi
		sleep 0.2
	done
	exit 1
	;;
status | list | monitor) ;;
*) exit 1 ;;
esac
