/* Calls about the system and the process that belong nowhere else: prctl, rlimits, scheduling, membarrier, rseq, kcmp, getrandom, uname, hwprobe. */
#include "check.h"
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

#define nowhere ((void *)16)

static void names(void)
{
	struct utsname u;
	show("uname", uname(&u));
	printf("%s %s %.5s\n", u.sysname, u.machine, u.release);
	show("uname nowhere", uname(nowhere));
	show("sethostname", sethostname("another", 7));
	uname(&u);
	printf("nodename %s\n", u.nodename);
	show("sethostname 65", syscall(SYS_sethostname, nowhere, 65));
	show("sethostname -1", syscall(SYS_sethostname, nowhere, -1));
	show("sethostname nowhere", syscall(SYS_sethostname, nowhere, 3));
	show("setdomainname", setdomainname("dom", 3));
	uname(&u);
	printf("domainname %s\n", u.domainname);
	struct sysinfo info;
	show("sysinfo", sysinfo(&info));
	printf("unit %d procs %d free < total %d\n", info.mem_unit, info.procs > 0, info.freeram < info.totalram);
	show("sysinfo nowhere", sysinfo(nowhere));
}

static void randomness(void)
{
	char a[64], b[64];
	memset(a, 0, 64);
	memset(b, 0, 64);
	show("getrandom", syscall(SYS_getrandom, a, 64, 0));
	show("getrandom nonblock", syscall(SYS_getrandom, b, 64, 1));
	show("they differ", memcmp(a, b, 64) != 0);
	show("getrandom 0", syscall(SYS_getrandom, nowhere, 0, 0));
	show("getrandom insecure", syscall(SYS_getrandom, a, 8, 4));
	show("getrandom random and insecure", syscall(SYS_getrandom, a, 8, 6));
	show("getrandom bad flag", syscall(SYS_getrandom, a, 8, 8));
	show("getrandom nowhere", syscall(SYS_getrandom, nowhere, 8, 0));
}

static void switches(void)
{
	char name[17] = "";
	show("PR_SET_NAME", prctl(PR_SET_NAME, "a name that is too long"));
	prctl(PR_GET_NAME, name);
	printf("name \"%s\"\n", name);
	show("PR_SET_NAME nowhere", prctl(PR_SET_NAME, nowhere));
	show("PR_GET_NAME nowhere", prctl(PR_GET_NAME, nowhere));
	show("PR_SET_PDEATHSIG 65", prctl(PR_SET_PDEATHSIG, 65));
	show("PR_SET_PDEATHSIG 64", prctl(PR_SET_PDEATHSIG, 64));
	show("PR_SET_PDEATHSIG 0", prctl(PR_SET_PDEATHSIG, 0));
	show("PR_SET_DUMPABLE 2", prctl(PR_SET_DUMPABLE, 2));
	show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
	show("PR_SET_KEEPCAPS 2", prctl(PR_SET_KEEPCAPS, 2));
	show("PR_GET_TIMING", prctl(PR_GET_TIMING));
	show("PR_SET_TIMING", prctl(PR_SET_TIMING, 1));
	show("PR_GET_SECCOMP", prctl(PR_GET_SECCOMP));
	show("PR_GET_TIMERSLACK", prctl(PR_GET_TIMERSLACK));
	show("PR_SET_TIMERSLACK", prctl(PR_SET_TIMERSLACK, 70000));
	show("PR_GET_TIMERSLACK", prctl(PR_GET_TIMERSLACK));
	show("PR_SET_TIMERSLACK 0", prctl(PR_SET_TIMERSLACK, 0));
	show("PR_GET_TIMERSLACK", prctl(PR_GET_TIMERSLACK));
	show("PR_SET_NO_NEW_PRIVS 0", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	show("PR_SET_NO_NEW_PRIVS junk", prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
	show("PR_GET_NO_NEW_PRIVS", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	show("PR_GET_NO_NEW_PRIVS junk", prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	show("PR_GET_THP_DISABLE", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	show("PR_SET_THP_DISABLE", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	show("PR_GET_THP_DISABLE", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	show("PR_SET_UNALIGN", prctl(PR_SET_UNALIGN, 1));
	show("PR_SET_FPEMU", prctl(PR_SET_FPEMU, 1));
	show("PR_SET_ENDIAN", prctl(PR_SET_ENDIAN, 1));
	show("PR_SET_TSC", prctl(PR_SET_TSC, 1));
	show("PR_MCE_KILL", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	show("option 99999", prctl(99999, 0, 0, 0, 0));
	show("option -1", prctl(-1, 0, 0, 0, 0));
	show("personality", syscall(SYS_personality, 0xffffffff));
	show("personality set", syscall(SYS_personality, ADDR_NO_RANDOMIZE));
	show("personality", syscall(SYS_personality, 0xffffffff) == ADDR_NO_RANDOMIZE);
	syscall(SYS_personality, 0);
}

static void limits(void)
{
	struct rlimit l = { 5, 4 };
	show("getrlimit 16", syscall(SYS_getrlimit, 16, &l));
	show("getrlimit nowhere", syscall(SYS_getrlimit, RLIMIT_NOFILE, nowhere));
	show("setrlimit soft > hard", syscall(SYS_setrlimit, RLIMIT_NOFILE, &l));
	show("setrlimit nowhere", syscall(SYS_setrlimit, RLIMIT_NOFILE, nowhere));
	l = (struct rlimit){ 100, 2000000 };
	show("setrlimit beyond nr_open", syscall(SYS_setrlimit, RLIMIT_NOFILE, &l));
	show("prlimit nobody", syscall(SYS_prlimit64, 31999, RLIMIT_NOFILE, NULL, &l));
	show("prlimit 77", syscall(SYS_prlimit64, 0, 77, NULL, &l));
	show("prlimit nothing", syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, NULL));
	int defaults[] = { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_LOCKS,
			   RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME, RLIMIT_MEMLOCK };
	for (unsigned int i = 0; i < sizeof(defaults) / sizeof(*defaults); i++) {
		getrlimit(defaults[i], &l);
		printf("limit %d: %ld %ld\n", defaults[i], (long)l.rlim_cur, (long)l.rlim_max);
	}
	in_child({
		struct rlimit old;
		l = (struct rlimit){ 3, 10 };
		show("prlimit", syscall(SYS_prlimit64, getpid(), RLIMIT_NOFILE, &l, &old));
		show("open beyond it", open("/", O_RDONLY));
		show("dup beyond it", dup(0));
		show("dup2 beyond it", dup2(0, 5));
		show("fcntl beyond it", fcntl(0, F_DUPFD, 5));
		setresuid(5, 5, 5);
		l = (struct rlimit){ 3, 11 };
		show("raise it", setrlimit(RLIMIT_NOFILE, &l));
		l = (struct rlimit){ 10, 10 };
		show("up to hard", setrlimit(RLIMIT_NOFILE, &l));
		show("another's", syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &l));
	});
	in_child({
		l = (struct rlimit){ 1000, RLIM_INFINITY };
		setrlimit(RLIMIT_FSIZE, &l);
		signal(SIGXFSZ, SIG_IGN);
		int fd = open("/tmp/limited", O_CREAT | O_RDWR, 0600);
		char data[2000] = { 0 };
		show("write up to the limit", write(fd, data, 2000));
		show("write at it", write(fd, data, 1));
		show("truncate beyond", ftruncate(fd, 1001));
		unlink("/tmp/limited");
	});
	int status = in_child({
		l = (struct rlimit){ 1, 2 };
		setrlimit(RLIMIT_CPU, &l);
		for (;;)
			;
	});
	printf("RLIMIT_CPU: signal %d\n", WTERMSIG(status));
}

static void scheduling(void)
{
	struct sched_param p = { 0 };
	show("sched_getscheduler", sched_getscheduler(0));
	show("sched_getscheduler nobody", sched_getscheduler(31999));
	show("sched_getscheduler -1", sched_getscheduler(-1));
	show("sched_setscheduler OTHER", sched_setscheduler(0, SCHED_OTHER, &p));
	show("sched_setscheduler BATCH", sched_setscheduler(0, SCHED_BATCH, &p));
	show("sched_getscheduler", sched_getscheduler(0));
	show("sched_setscheduler FIFO 0", sched_setscheduler(0, SCHED_FIFO, &p));
	p.sched_priority = 100;
	show("sched_setscheduler FIFO 100", sched_setscheduler(0, SCHED_FIFO, &p));
	p.sched_priority = 5;
	show("sched_setscheduler OTHER 5", sched_setscheduler(0, SCHED_OTHER, &p));
	show("sched_setscheduler FIFO 5", sched_setscheduler(0, SCHED_FIFO, &p));
	show("sched_getscheduler", sched_getscheduler(0));
	show("sched_setscheduler RR, reset on fork", sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p));
	show("sched_getscheduler", sched_getscheduler(0));
	show("of a child", WEXITSTATUS(in_child(_exit(sched_getscheduler(0)))));
	show("sched_getparam", (sched_getparam(0, &p), p.sched_priority));
	p.sched_priority = 7;
	show("sched_setparam", sched_setparam(0, &p));
	show("sched_getparam", (sched_getparam(0, &p), p.sched_priority));
	show("sched_getparam NULL", syscall(SYS_sched_getparam, 0, NULL));
	struct timespec t;
	show("rr interval", sched_rr_get_interval(0, &t));
	printf("%ld %ld\n", (long)t.tv_sec, t.tv_nsec);
	p.sched_priority = 0;
	show("sched_setscheduler IDLE", sched_setscheduler(0, SCHED_IDLE, &p));
	show("sched_setscheduler OTHER", sched_setscheduler(0, SCHED_OTHER, &p));
	show("policy 4", sched_setscheduler(0, 4, &p));
	show("policy 99", sched_setscheduler(0, 99, &p));
	show("policy -1", sched_setscheduler(0, -1, &p));
	for (int policy = 0; policy <= 7; policy++) {
		show("max", sched_get_priority_max(policy));
		show("min", sched_get_priority_min(policy));
	}
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
		uint32_t min, max;
	} attr = { .size = 48, .nice = 4 };
	show("sched_setattr", syscall(SYS_sched_setattr, 0, &attr, 0));
	show("sched_getattr", syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0));
	printf("size %d policy %d nice %d\n", attr.size, attr.policy, attr.nice);
	attr.size = 20;
	show("sched_setattr size 20", syscall(SYS_sched_setattr, 0, &attr, 0));
	printf("size %d\n", attr.size);
	show("sched_getattr size 20", syscall(SYS_sched_getattr, 0, &attr, 20, 0));
	show("sched_setattr flags", syscall(SYS_sched_setattr, 0, &attr, 1));
	errno = 0;
	show("getpriority", syscall(SYS_getpriority, PRIO_PROCESS, 0));
	show("setpriority 7", setpriority(PRIO_PROCESS, 0, 7));
	show("getpriority", syscall(SYS_getpriority, PRIO_PROCESS, 0));
	show("setpriority 50", setpriority(PRIO_PROCESS, 0, 50));
	show("getpriority", syscall(SYS_getpriority, PRIO_PROCESS, 0));
	show("setpriority 0", setpriority(PRIO_PROCESS, 0, 0));
	show("setpriority nobody", setpriority(PRIO_PROCESS, 31999, 0));
	show("setpriority bad", setpriority(9, 0, 0));
	show("getpriority group", syscall(SYS_getpriority, PRIO_PGRP, 0) >= 20);
	in_child({
		setresuid(5, 5, 5);
		show("nice down by another", setpriority(PRIO_PROCESS, 0, -1));
		show("nice up", setpriority(PRIO_PROCESS, 0, 1));
		show("and back", setpriority(PRIO_PROCESS, 0, 0));
		show("another's", setpriority(PRIO_PROCESS, getppid(), 3));
		p.sched_priority = 1;
		show("FIFO", sched_setscheduler(0, SCHED_FIFO, &p));
		p.sched_priority = 0;
		show("another's policy", sched_setscheduler(getppid(), SCHED_BATCH, &p));
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(0, &set);
		show("another's affinity", sched_setaffinity(getppid(), sizeof(set), &set));
	});
	unsigned long mask = 0;
	show("getaffinity size 8", syscall(SYS_sched_getaffinity, 0, 8, &mask));
	printf("cpu 0 %d\n", (int)(mask & 1));
	show("getaffinity size 4", syscall(SYS_sched_getaffinity, 0, 4, &mask));
	show("getaffinity nobody", syscall(SYS_sched_getaffinity, 31999, 8, &mask));
	mask = 0;
	show("setaffinity to none", syscall(SYS_sched_setaffinity, 0, 8, &mask));
	mask = 1;
	show("setaffinity to 0", syscall(SYS_sched_setaffinity, 0, 8, &mask));
	unsigned int cpu = 99, node = 99;
	show("getcpu", syscall(SYS_getcpu, &cpu, &node, NULL));
	printf("cpu %d node %d\n", cpu, node);
	show("getcpu nowhere", syscall(SYS_getcpu, nowhere, NULL, NULL));
	show("sched_yield", sched_yield());
}

static void barriers(void)
{
	show("membarrier 9999", syscall(SYS_membarrier, 9999, 0, 0));
	show("membarrier flags", syscall(SYS_membarrier, 0, 1, 0));
	show("membarrier GLOBAL", syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	show("membarrier PRIVATE before registering", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	show("membarrier register", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	show("membarrier PRIVATE", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	show("membarrier registrations", syscall(SYS_membarrier, 512, 0, 0));
	show("flush_icache", syscall(259, 0, 0, 0));
	show("flush_icache flags", syscall(259, 0, 0, 2));
}

static struct rseq area __attribute__((aligned(32)));
static void sequences(void)
{
	show("rseq size 31", syscall(SYS_rseq, &area, 31, 0, 0x1234));
	show("rseq unaligned", syscall(SYS_rseq, (char *)&area + 8, 32, 0, 0x1234));
	show("rseq flags", syscall(SYS_rseq, &area, 32, 2, 0x1234));
	show("rseq unregister nothing", syscall(SYS_rseq, &area, 32, 1, 0x1234));
	area.cpu_id = 77;
	show("rseq", syscall(SYS_rseq, &area, 32, 0, 0x1234));
	show("cpu_id is valid", area.cpu_id < 64 && area.cpu_id == area.cpu_id_start);
	show("rseq again", syscall(SYS_rseq, &area, 32, 0, 0x1234));
	show("rseq again, another signature", syscall(SYS_rseq, &area, 32, 0, 0x1235));
	show("rseq again, elsewhere", syscall(SYS_rseq, &area + 1, 32, 0, 0x1234));
	show("a child has it too", WEXITSTATUS(in_child(_exit(syscall(SYS_rseq, &area, 32, 1, 0x1234) == 0 ? 3 : 4))));
	show("unregister, another signature", syscall(SYS_rseq, &area, 32, 1, 0x1235));
	show("unregister, another size", syscall(SYS_rseq, &area, 64, 1, 0x1234));
	show("unregister", syscall(SYS_rseq, &area, 32, 1, 0x1234));
	show("cpu_id is not valid", (int)area.cpu_id == -1);

	/* A critical section that is entered and never left by itself: losing the CPU must end it in the abort handler. */
	syscall(SYS_rseq, &area, 32, 0, 0x53053053);
	static struct rseq_cs section __attribute__((aligned(32)));
	long aborted = 0;
	pid_t rival = fork();
	if (rival == 0)
		for (;;)
			;
	asm volatile("la t0, 1f\n sd t0, 8(%[cs])\n la t1, 2f\n sub t1, t1, t0\n sd t1, 16(%[cs])\n la t0, 3f\n sd t0, 24(%[cs])\n"
		     "sd %[cs], 8(%[area])\n"
		     "1: addi %[n], %[n], 1\n j 1b\n"
		     "2: j 4f\n"
		     ".balign 4\n .word 0x53053053\n"
		     "3: li %[n], -7\n"
		     "4:\n"
		     : [n] "+r"(aborted)
		     : [cs] "r"(&section), [area] "r"(&area)
		     : "t0", "t1", "memory");
	kill(rival, SIGKILL);
	ended(rival);
	show("a critical section was aborted", aborted == -7);
	show("rseq_cs is cleared", area.rseq_cs == 0);
}

static void comparing(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	int other = dup(0);
	show("kcmp files the same", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, other));
	show("kcmp files differ", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, open("/", O_RDONLY)) > 0);
	show("kcmp file of the child", syscall(SYS_kcmp, getpid(), pid, 0, 0, 0));
	show("kcmp bad file", syscall(SYS_kcmp, getpid(), pid, 0, 0, 99));
	show("kcmp vm", syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
	show("kcmp vm of the child", syscall(SYS_kcmp, getpid(), pid, 1, 0, 0) > 0);
	show("kcmp fs of the child", syscall(SYS_kcmp, getpid(), pid, 3, 0, 0) > 0);
	show("kcmp nobody", syscall(SYS_kcmp, getpid(), 31999, 1, 0, 0));
	show("kcmp bad type", syscall(SYS_kcmp, getpid(), pid, 99, 0, 0));
	kill(pid, SIGKILL);
	ended(pid);
	struct tms t;
	show("times", times(&t) > 0);
	show("times nowhere", syscall(SYS_times, nowhere));
	struct {
		int64_t key;
		uint64_t value;
	} pairs[] = { { 3, 0 }, { 4, 0 }, { 9999, 5 }, { -3, 5 } };
	show("hwprobe", syscall(258, pairs, 4, 0, NULL, 0));
	printf("base %lu fd and c %lu unknown %ld %lu %ld %lu\n", pairs[0].value, pairs[1].value & 3, (long)pairs[2].key, pairs[2].value, (long)pairs[3].key,
	       pairs[3].value);
	show("hwprobe flags", syscall(258, pairs, 4, 0, NULL, 4));
	show("hwprobe nowhere", syscall(258, nowhere, 1, 0, NULL, 0));
	show("reboot bad magic", syscall(SYS_reboot, 1, 2, 3, NULL));
	show("reboot bad command", syscall(SYS_reboot, 0xfee1dead, 672274793, 3, NULL));
	show("syslog bad", syscall(SYS_syslog, 99, NULL, 0));
	show("syslog read of nothing", syscall(SYS_syslog, 3, NULL, 0));
	show("no such call", syscall(9999, 0));
	show("no such call", syscall(-1, 0));
}

int main(void)
{
	names();
	randomness();
	switches();
	limits();
	scheduling();
	barriers();
	sequences();
	comparing();
	return 0;
}
