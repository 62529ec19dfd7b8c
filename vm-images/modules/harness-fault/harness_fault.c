// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernel faults on demand: what a harness that tells hangs and crashes apart is tested with.
 *
 *	insmod harness_fault.ko this_host_is_disposable=1
 *	echo "<fault> [<cpu> [<milliseconds>]]" > /sys/module/harness_fault/parameters/inject
 *	echo stop > /sys/module/harness_fault/parameters/inject
 *
 * Each fault happens in a kernel thread of its own, bound to <cpu> (0 if not given), START_MS after the write, so that
 * the writer has returned by then. The faults in `faults` below that last do so for <milliseconds>, or without an end
 * if that is 0 or not given; "stop" ends all of them. Several may be under way at once.
 *
 * There is no way to unload it: a thread may be in here for ever.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nmi.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define START_MS 100

extern int rcu_cpu_stall_suppress; /* exported for rcutorture, but in no header for modules */

struct job {
	const struct fault *fault;
	unsigned int cpu;
	unsigned int ms;
	unsigned int stops;
	struct rcu_head rcu;
};

struct fault {
	const char *name;
	void (*act)(struct job *job);
};

static bool disposable;
module_param_named(this_host_is_disposable, disposable, bool, 0444);
MODULE_PARM_DESC(this_host_is_disposable, "Whether this host may be brought down; without it the module refuses to load");

static bool loaded;
static struct workqueue_struct *queue;
static unsigned int stops; /* how often "stop" was written */
static DECLARE_WAIT_QUEUE_HEAD(stopped);

static bool is_stopped(const struct job *job)
{
	return READ_ONCE(stops) != job->stops;
}

/*
 * Keep the processor busy until the job's time is over. Only steps forward of the clock are counted: a processor that
 * keeps its interrupts off may be the one that keeps the time, and a narrow counter (32 bits of HPET) then wraps. The
 * delays are not counted, they are off by a factor where the TSC could not be calibrated, as under emulation.
 */
static void spin(struct job *job, void (*each)(void))
{
	u64 left = (u64)job->ms * NSEC_PER_MSEC;
	u64 last = ktime_get_mono_fast_ns();

	while (!is_stopped(job)) {
		u64 now = ktime_get_mono_fast_ns();
		u64 step = now > last ? now - last : 0;

		last = now;
		if (job->ms && left <= step)
			break;
		left -= step;
		if (each)
			each();
		mdelay(1); /* reading the clock without a pause may keep others from it */
	}
}

/*
 * The scheduler of one processor stops: a soft lockup. RCU would report its stall a moment before that, and so silence
 * the watchdog for another 20 s; hence it is kept quiet meanwhile.
 */
static void act_spin(struct job *job)
{
	WRITE_ONCE(rcu_cpu_stall_suppress, 1);
	preempt_disable();
	spin(job, NULL);
	preempt_enable();
	synchronize_rcu(); /* or the grace period that had to wait would be reported now */
	WRITE_ONCE(rcu_cpu_stall_suppress, 0);
}

/* One processor stops altogether: a hard lockup where the kernel has a watchdog that sees past the interrupt mask. */
static void act_spin_irqs_off(struct job *job)
{
	unsigned long flags;

	local_irq_save(flags);
	spin(job, NULL);
	local_irq_restore(flags);
}

static void grace_period_over(struct rcu_head *rcu)
{
}

/*
 * A reader that does not leave its critical section, and a grace period that waits for it. Without the touch it would
 * be a soft lockup as well.
 */
static void act_rcu_stall(struct job *job)
{
	rcu_read_lock();
	call_rcu(&job->rcu, grace_period_over);
	spin(job, touch_softlockup_watchdog);
	rcu_read_unlock();
	rcu_barrier(); /* the callback uses the job */
}

struct hog {
	struct work_struct work;
	struct job *job;
};

static void yield_to_others(void)
{
	cond_resched();
}

static void hog(struct work_struct *work)
{
	spin(container_of(work, struct hog, work)->job, yield_to_others);
}

static void nothing(struct work_struct *work)
{
}

/*
 * A work item that never sleeps: the processor schedules, but its pool starts no other item, and whoever waits for one
 * hangs. The watchdog of workqueues sees it (CONFIG_WQ_WATCHDOG); the hung task detector sees this thread, which waits.
 * Since v6.5 (616db8779b1e, "workqueue: Automatically mark CPU-hogging work items CPU_INTENSIVE") the pool recovers
 * after workqueue.cpu_intensive_thresh_us, 10 ms unless the command line says more.
 */
static void act_workqueue(struct job *job)
{
	struct hog first = { .job = job };
	struct work_struct second;

	INIT_WORK_ONSTACK(&first.work, hog);
	INIT_WORK_ONSTACK(&second, nothing);
	queue_work_on(job->cpu, queue, &first.work);
	queue_work_on(job->cpu, queue, &second);
	flush_work(&second);
	flush_work(&first.work);
	destroy_work_on_stack(&second);
	destroy_work_on_stack(&first.work);
}

static void act_hung_task(struct job *job)
{
	if (job->ms)
		wait_event_timeout(stopped, is_stopped(job), msecs_to_jiffies(job->ms));
	else
		wait_event(stopped, is_stopped(job));
}

static void read_from(unsigned long address)
{
	/* The compiler must not see where this leads. */
	OPTIMIZER_HIDE_VAR(address);
	READ_ONCE(*(int *)address);
}

static void act_null(struct job *job)
{
	read_from(0);
}

/* An address that no kernel maps, and that is not near NULL: the last page. */
static void act_oops(struct job *job)
{
	read_from(-PAGE_SIZE);
}

static void act_bug(struct job *job)
{
	BUG();
}

static void act_panic(struct job *job)
{
	panic("harness_fault: as asked for");
}

static const struct fault faults[] = {
	/* these last */
	{ "spin", act_spin },
	{ "spin_irqs_off", act_spin_irqs_off },
	{ "rcu_stall", act_rcu_stall },
	{ "workqueue", act_workqueue },
	{ "hung_task", act_hung_task },
	/* these do not */
	{ "null", act_null },
	{ "oops", act_oops },
	{ "bug", act_bug },
	{ "panic", act_panic },
};

static int run(void *data)
{
	struct job *job = data;

	schedule_timeout_uninterruptible(msecs_to_jiffies(START_MS));
	pr_alert("%s begins on processor %u\n", job->fault->name, job->cpu);
	job->fault->act(job);
	pr_alert("%s is over\n", job->fault->name);
	kfree(job);
	return 0;
}

static int start(const struct fault *fault, unsigned int cpu, unsigned int ms)
{
	struct task_struct *thread;
	struct job *job;

	job = kzalloc(sizeof(*job), GFP_KERNEL);
	if (!job)
		return -ENOMEM;
	job->fault = fault;
	job->cpu = cpu;
	job->ms = ms;
	job->stops = READ_ONCE(stops);
	thread = kthread_create(run, job, "fault/%s", fault->name);
	if (IS_ERR(thread)) {
		kfree(job);
		return PTR_ERR(thread);
	}
	kthread_bind(thread, cpu);
	wake_up_process(thread);
	return 0;
}

static int inject(const char *text, const struct kernel_param *parameter)
{
	unsigned int cpu = 0, ms = 0;
	char name[16] = "";
	size_t i;

	if (!loaded) /* given as a parameter of insmod */
		return -EPERM;
	if (sscanf(text, "%15s %u %u", name, &cpu, &ms) < 1)
		return -EINVAL;
	if (!strcmp(name, "stop")) {
		WRITE_ONCE(stops, stops + 1);
		wake_up_all(&stopped);
		return 0;
	}
	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return -ENODEV;
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(name, faults[i].name))
			return start(&faults[i], cpu, ms);
	return -EINVAL;
}

static const struct kernel_param_ops inject_ops = {
	.set = inject,
};
module_param_cb(inject, &inject_ops, NULL, 0200);
MODULE_PARM_DESC(inject, "What is to happen: \"<fault> [<cpu> [<milliseconds>]]\", or \"stop\"");

static int __init harness_fault_init(void)
{
	if (!disposable) {
		pr_err("refuses to load: it brings hosts down; this_host_is_disposable=1 says that this one may be\n");
		return -EPERM;
	}
	queue = alloc_workqueue("harness_fault", 0, 0);
	if (!queue)
		return -ENOMEM;
	loaded = true;
	return 0;
}
module_init(harness_fault_init);

MODULE_DESCRIPTION("Kernel faults on demand, for hosts that are disposable");
MODULE_LICENSE("GPL");
