/* Random system calls with random arguments, many of them nearly right: callfuzz SEED ROUNDS. What they do does not matter; the kernel must live. Each
 * round is a child that makes some hundred calls and is killed if it sleeps. Prints a line at the end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS 300
#define AREA (64 * 4096)

static uint64_t state;
static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 2685821657736338717u;
}
static unsigned int below(unsigned int n)
{
	return (next() >> 33) % n;
}

static char *area;

static const long numbers[] = { 0, 1, 2, 3, 4, 7, 8, 16, 31, 63, 64, 100, 127, 128, 255, 256, 511, 4095, 4096, 4097, 65535, 65536, 1 << 20, 0x7fffffff,
				0x80000000, 0xffffffff, 0x100000000, 1L << 46, (1L << 47) - 4096, 1L << 47, 1L << 62, 0x7fffffffffffffff, -1, -2, -100, -4096,
				0x8000000000000000 };
static const char *const paths[] = { "/", ".", "..", "/tmp", "/proc/self/maps", "/proc/self", "/dev/null", "/dev/zero", "/tmp/a", "/tmp/b", "/tmp/a/b",
				     "a", "b/c", "", "/proc/self/fd/0", "/proc/self/mem", "/dev/ptmx", "/sys", "/tmp/link", "/proc/1/status", "/dev/tty" };

static long argument(void)
{
	char *at = area + below(AREA);
	switch (below(12)) {
	case 0: case 1:
		return numbers[below(sizeof(numbers) / sizeof(*numbers))];
	case 2: case 3:
		return below(20);
	case 4:
		return 1L << below(40);
	case 5:
		return (long)(area + (below(64) << 12));
	case 6:
		return (long)at;
	case 7:
		return (long)(area + AREA - below(32)); /* runs out of the area */
	case 8:
		return (long)paths[below(sizeof(paths) / sizeof(*paths))];
	case 9:
		return below(8) == 0 ? (long)next() : (long)(below(64) << below(24));
	case 10:
		for (int i = 0; i < 8; i++) /* a structure of small numbers and pointers */
			((uint64_t *)(area + 8192))[i] = below(3) ? below(100) : below(2) ? (uint64_t)area : next();
		return (long)(area + 8192);
	default:
		return getpid() + (long)below(3) - 1;
	}
}

static int excluded(long nr)
{
	switch (nr) {
	case SYS_exit: case SYS_exit_group: case SYS_reboot: case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo:
	case SYS_rt_tgsigqueueinfo: case SYS_rt_sigreturn: case SYS_vhangup: case SYS_sched_setscheduler: case SYS_sched_setattr: case SYS_clone: case SYS_clone3:
	case SYS_prlimit64: case SYS_setrlimit: case SYS_umount2: case SYS_pivot_root: case SYS_chroot: case SYS_syslog: case SYS_setpriority:
	case SYS_settimeofday: case SYS_clock_settime: case SYS_pidfd_send_signal: case SYS_mount: case SYS_swapoff: case SYS_swapon: case SYS_setgid: case SYS_munmap:
		return 1;
	}
	return 0;
}

static void one_round(void)
{
	struct rlimit limit = { 96 << 20, 96 << 20 };
	setrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max = 1 << 20;
	setrlimit(RLIMIT_FSIZE, &limit);
	int pair[2];
	close(0);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	pipe2(pair, O_NONBLOCK);
	eventfd(3, EFD_NONBLOCK);
	epoll_create1(0);
	timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	syscall(SYS_memfd_create, "m", 3);
	open("/tmp/a", O_RDWR | O_CREAT, 0666);
	open("/tmp", O_RDONLY);
	open("/proc/self/maps", O_RDONLY);
	for (int i = 0; i < CALLS; i++) {
		long nr = below(8) == 0 ? (long)below(13) + 1000 : (long)below(463);
		if (excluded(nr))
			continue;
		if (below(40) == 0) {
			long a[6] = { argument(), argument(), argument(), argument(), argument(), argument() };
			pid_t child = syscall(SYS_clone, SIGCHLD | (a[0] & ~(CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_THREAD)), 0, a[2], 0, a[4]);
			if (child == 0)
				_exit(0);
			continue;
		}
		syscall(nr, argument(), argument(), argument(), argument(), argument(), argument());
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	int rounds = argc > 2 ? atoi(argv[2]) : 10;
	int finished = 0, killed = 0;
	for (int i = 0; i < rounds; i++) {
		state = (seed * 1000003 + i) * 0x9e3779b97f4a7c15 + 1;
		area = mmap((void *)0x200000000, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		for (int k = 0; k < AREA / 8; k += 512)
			((uint64_t *)area)[k] = next();
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			setsid();
			one_round();
		}
		int status = 0, waited = 0;
		struct timespec ms = { 0, 2000000 };
		while (waitpid(pid, &status, WNOHANG) != pid && waited++ < 200)
			nanosleep(&ms, NULL);
		if (waited > 200) {
			killed++;
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
		} else {
			finished++;
		}
		kill(-pid, SIGKILL);
	}
	printf("%d rounds: %d ended, %d were killed\n", rounds, finished, killed);
	return 0;
}
