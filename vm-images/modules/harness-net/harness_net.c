// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A network device whose transmit path allocates memory before it sends.
 *
 *	insmod harness_net.ko this_host_is_disposable=1 lower=eth1 gfp=kernel
 *	ip address ... dev harness0
 *
 * It is stacked on another Ethernet device, `lower`, with the same hardware address, and takes what that one receives.
 * What it is to send goes to a work item, as a connection that IPoIB sets up does (ipoib_cm_tx_start(), on a workqueue
 * with WQ_MEM_RECLAIM), and every `every` packets that work item first allocates a new ring of `ring_kib`, page by page,
 * as creating a queue pair of mthca does (mthca_buf_alloc()). `gfp` says how:
 *
 *	kernel          GFP_KERNEL: reclaim may wait for writeback and start some. Writeback that goes over this device
 *	                then waits for a packet that waits for writeback
 *	noio            GFP_NOIO, as 09b93088d750 ("IB/ipoib: use GFP_NOIO for QP creation") did for IPoIB
 *	memalloc_noio   GFP_KERNEL within memalloc_noio_save(), as IPoIB does today
 *
 * Nothing else differs between the three. Where there is no memory the device keeps the ring that it has, and sends.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h>
#include <linux/gfp.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#define QUEUE 128 /* ipoib_sendq_size: so many packets may wait */

/* What the lower device can do is done there; dev_queue_xmit() makes up for the rest. */
#define FEATURES (NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA | NETIF_F_FRAGLIST | NETIF_F_GSO | NETIF_F_ALL_TSO)

static bool disposable;
module_param_named(this_host_is_disposable, disposable, bool, 0444);
MODULE_PARM_DESC(this_host_is_disposable, "Whether this host may hang; without it the module refuses to load");

static char *lower = "";
module_param(lower, charp, 0444);
MODULE_PARM_DESC(lower, "The Ethernet device that sends and receives");

static char *gfp = "kernel";
module_param(gfp, charp, 0444);
MODULE_PARM_DESC(gfp, "How the transmit path allocates: kernel, noio or memalloc_noio");

static unsigned int every = 64;
module_param(every, uint, 0444);
MODULE_PARM_DESC(every, "So many packets are sent with one ring");

static unsigned int ring_kib = 64;
module_param(ring_kib, uint, 0444);
MODULE_PARM_DESC(ring_kib, "Size of a ring in KiB");

/* Written by the work item alone. */
static unsigned long rings;
module_param(rings, ulong, 0444);
MODULE_PARM_DESC(rings, "Rings that were allocated");

static unsigned long failures;
module_param(failures, ulong, 0444);
MODULE_PARM_DESC(failures, "Rings for which there was no memory");

static unsigned int longest_ms;
module_param(longest_ms, uint, 0444);
MODULE_PARM_DESC(longest_ms, "How long the longest allocation of a ring took");

static unsigned long begun; /* in jiffies; 0: no ring is being allocated */

static int get_allocating_ms(char *buffer, const struct kernel_param *parameter)
{
	unsigned long since = READ_ONCE(begun);

	return sprintf(buffer, "%u\n", since ? jiffies_to_msecs(jiffies - since) : 0);
}

static const struct kernel_param_ops allocating_ms_ops = {
	.get = get_allocating_ms,
};
module_param_cb(allocating_ms, &allocating_ms_ops, NULL, 0444);
MODULE_PARM_DESC(allocating_ms, "For how long a ring has been being allocated; 0 if none is");

struct harness_net {
	struct net_device *dev;
	struct net_device *lower;
	struct sk_buff_head queue;
	struct work_struct work;
	unsigned int sent; /* with this ring */
	unsigned int pages;
	struct page **ring;
	struct page **fresh;
};

static struct net_device *device;
static struct workqueue_struct *workqueue;
static gfp_t flags = GFP_KERNEL;
static bool scoped;

static void free_pages_of(struct harness_net *net, struct page **ring)
{
	unsigned int i;

	for (i = 0; i < net->pages && ring[i]; i++) {
		__free_page(ring[i]);
		ring[i] = NULL;
	}
}

/*
 * One round of reclaim a page and no more (__GFP_NORETRY): an allocation that may fail must not wait for others to free
 * what they cannot free without this device. What is shown is the waiting inside of reclaim.
 */
static bool allocate(struct harness_net *net)
{
	unsigned int i;

	for (i = 0; i < net->pages; i++) {
		net->fresh[i] = alloc_page(flags | __GFP_NORETRY | __GFP_NOWARN);
		if (!net->fresh[i]) {
			free_pages_of(net, net->fresh);
			return false;
		}
	}
	return true;
}

static void renew_ring(struct harness_net *net)
{
	unsigned long start = jiffies ?: 1;
	unsigned int noio = 0;
	bool good;

	WRITE_ONCE(begun, start);
	if (scoped)
		noio = memalloc_noio_save();
	good = allocate(net);
	if (scoped)
		memalloc_noio_restore(noio);
	WRITE_ONCE(begun, 0);
	longest_ms = max(longest_ms, jiffies_to_msecs(jiffies - start));
	if (good) {
		free_pages_of(net, net->ring);
		swap(net->ring, net->fresh);
		rings++;
	} else {
		failures++;
	}
}

static void send(struct harness_net *net, struct sk_buff *skb)
{
	unsigned int length = skb->len;

	if (++net->sent >= every) {
		net->sent = 0;
		renew_ring(net);
	}
	skb->dev = net->lower;
	if (dev_queue_xmit(skb) == NET_XMIT_SUCCESS) {
		net->dev->stats.tx_packets++;
		net->dev->stats.tx_bytes += length;
	} else {
		net->dev->stats.tx_dropped++;
	}
}

static void wake_if_room(struct harness_net *net)
{
	if (netif_queue_stopped(net->dev) && skb_queue_len_lockless(&net->queue) < QUEUE / 2)
		netif_wake_queue(net->dev);
}

static void send_all(struct work_struct *work)
{
	struct harness_net *net = container_of(work, struct harness_net, work);
	struct sk_buff *skb;

	while ((skb = skb_dequeue(&net->queue))) {
		send(net, skb);
		wake_if_room(net);
		cond_resched();
	}
	wake_if_room(net); /* it may have been stopped after the last packet was taken */
}

static netdev_tx_t start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct harness_net *net = netdev_priv(dev);

	skb_queue_tail(&net->queue, skb);
	if (skb_queue_len_lockless(&net->queue) >= QUEUE)
		netif_stop_queue(dev);
	/* After the queue was stopped: so the work item runs once more, and wakes it. */
	queue_work(workqueue, &net->work);
	return NETDEV_TX_OK;
}

static rx_handler_result_t receive(struct sk_buff **pskb)
{
	struct sk_buff *skb = skb_share_check(*pskb, GFP_ATOMIC);

	*pskb = skb;
	if (!skb)
		return RX_HANDLER_CONSUMED;
	skb->dev = device;
	device->stats.rx_packets++;
	device->stats.rx_bytes += skb->len;
	return RX_HANDLER_ANOTHER;
}

static int open(struct net_device *dev)
{
	netif_start_queue(dev);
	return 0;
}

static int stop(struct net_device *dev)
{
	struct harness_net *net = netdev_priv(dev);

	netif_stop_queue(dev);
	cancel_work_sync(&net->work);
	skb_queue_purge(&net->queue);
	return 0;
}

static const struct net_device_ops ops = {
	.ndo_open = open,
	.ndo_stop = stop,
	.ndo_start_xmit = start_xmit,
	.ndo_validate_addr = eth_validate_addr,
};

static void setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &ops;
}

static int read_gfp(void)
{
	if (!strcmp(gfp, "noio"))
		flags = GFP_NOIO;
	else if (!strcmp(gfp, "memalloc_noio"))
		scoped = true;
	else if (strcmp(gfp, "kernel"))
		return -EINVAL;
	return 0;
}

static int make_rings(struct harness_net *net)
{
	net->pages = ring_kib * 1024 / PAGE_SIZE;
	net->ring = kcalloc(net->pages, sizeof(*net->ring), GFP_KERNEL);
	net->fresh = kcalloc(net->pages, sizeof(*net->fresh), GFP_KERNEL);
	return net->ring && net->fresh ? 0 : -ENOMEM;
}

static void free_rings(struct harness_net *net)
{
	if (net->ring)
		free_pages_of(net, net->ring);
	kfree(net->ring);
	kfree(net->fresh);
}

/* Takes the RTNL lock: nothing arrives before everything is there. */
static int attach(struct net_device *dev)
{
	struct harness_net *net = netdev_priv(dev);
	int error;

	rtnl_lock();
	eth_hw_addr_inherit(dev, net->lower);
	dev->mtu = net->lower->mtu;
	dev->features = net->lower->features & FEATURES;
	dev->hw_features = dev->features;
	dev->needed_headroom = net->lower->needed_headroom;
	error = register_netdevice(dev);
	if (!error) {
		error = netdev_rx_handler_register(net->lower, receive, NULL);
		if (error)
			unregister_netdevice(dev);
	}
	rtnl_unlock();
	return error;
}

static int create(struct net_device *below)
{
	struct harness_net *net;
	int error;

	device = alloc_netdev(sizeof(*net), "harness%d", NET_NAME_ENUM, setup);
	if (!device)
		return -ENOMEM;
	net = netdev_priv(device);
	net->dev = device;
	net->lower = below;
	skb_queue_head_init(&net->queue);
	INIT_WORK(&net->work, send_all);
	error = make_rings(net);
	if (!error)
		error = attach(device);
	if (error) {
		free_rings(net);
		free_netdev(device);
	}
	return error;
}

static int start(struct net_device *below)
{
	int error;

	workqueue = alloc_ordered_workqueue("harness_net", WQ_MEM_RECLAIM);
	if (!workqueue)
		return -ENOMEM;
	error = create(below);
	if (error)
		destroy_workqueue(workqueue);
	return error;
}

static int __init harness_net_init(void)
{
	struct net_device *below;
	int error;

	if (!disposable) {
		pr_err("refuses to load: it can hang hosts; this_host_is_disposable=1 says that this one may\n");
		return -EPERM;
	}
	if (!every || ring_kib < PAGE_SIZE / 1024 || read_gfp())
		return -EINVAL;
	below = dev_get_by_name(&init_net, lower);
	if (!below)
		return -ENODEV;
	error = below->type == ARPHRD_ETHER ? start(below) : -EINVAL;
	if (error)
		dev_put(below);
	return error;
}
module_init(harness_net_init);

static void __exit harness_net_exit(void)
{
	struct harness_net *net = netdev_priv(device);
	struct net_device *below = net->lower;

	rtnl_lock();
	netdev_rx_handler_unregister(below);
	unregister_netdevice(device);
	rtnl_unlock();
	free_rings(net);
	free_netdev(device);
	destroy_workqueue(workqueue);
	dev_put(below);
}
module_exit(harness_net_exit);

MODULE_DESCRIPTION("A network device whose transmit path allocates memory, for hosts that are disposable");
MODULE_LICENSE("GPL");
