/* demo.c: what a database does with a shared buffer pool, done with mshare. `npm start` runs it.
 *
 * usage: demo [WORKERS [MIB]]    (64 workers, a pool of 256 MiB; each worker works in a quarter of it)
 *
 * Three roles. The *narrator* is this process: it starts the owner and outlives it. The *owner* creates the region, maps the pool and forks the
 * workers, as postmaster does with backends. Each *worker* attaches a window of its own, at an address of its own. What they tell each other
 * goes through a page of the region, with futexes. The output depends on nothing but the arguments. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <mshare.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MIB (1UL << 20)
#define PAGE 4096UL
#define MAX_WORKERS 1000

/* The steps that all workers take together. In each the worker counts itself in `did` if it saw what it should see. */
enum { ATTACH, WORK, PROTECTED, UNMAPPED, HANDED_OUT, STEPS };

struct control {
	uint32_t step;     /* futex: the step that workers may take now */
	uint32_t finished; /* futex: workers that have taken it */
	uint32_t did[STEPS], placed;
	uint64_t visits[MAX_WORKERS];
};

static int workers = 64;
static size_t pool_size = 256 * MIB, share;
static char *window;
static struct control *control;

static void die(const char *what)
{
	printf("demo: %s: errno %d%s\n", what, errno, errno == ENOSYS ? " (this kernel has no mshare)" : "");
	fflush(stdout);
	if (window)
		kill(0, SIGKILL); /* others may wait for this process: end all of us */
	_exit(1);
}

/* Touching memory that may not be there: a handler that jumps back, and remembers what the kernel said. */

static sigjmp_buf back;
static volatile int signal_code;
static char *volatile signal_address;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	signal_code = info->si_code;
	signal_address = info->si_addr;
	siglongjmp(back, 1);
}

/* Returns 0 if the access went through, else the si_code of a SIGSEGV at just that address, else -1. */
static int try_access(volatile char *at, int writing)
{
	if (sigsetjmp(back, 0))
		return signal_address == at ? signal_code : -1;
	if (writing)
		*at = 1;
	else
		(void)*at;
	return 0;
}

/* Waiting */

static void wait_until(uint32_t *word, uint32_t value)
{
	uint32_t seen;
	while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void announce(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

/* A worker's end of a step, and the wait for the next. */
static void finish(int step, int as_it_should)
{
	if (as_it_should)
		__atomic_fetch_add(&control->did[step], 1, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&control->finished, 1, __ATOMIC_ACQ_REL) == (uint32_t)workers)
		syscall(SYS_futex, &control->finished, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (step + 1 < STEPS)
		wait_until(&control->step, (uint32_t)step + 1);
}

/* The owner's side: lets the workers take a step and waits for all of them. Returns how many saw what they should. */
static int let_them(int step)
{
	announce(&control->step, (uint32_t)step);
	wait_until(&control->finished, (uint32_t)workers);
	__atomic_store_n(&control->finished, 0, __ATOMIC_RELAXED); /* all of them wait now: nobody counts himself twice or not at all */
	return (int)control->did[step];
}

/* Descriptors over a UNIX socket */

static void send_descriptor(int socket, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(socket, &msg, 0) != 1)
		die("sendmsg");
}

static int receive_descriptor(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	if (recvmsg(socket, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		die("recvmsg");
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[] = "/proc/self/fd/0000";
	for (char *digit = path + sizeof(path) - 2; *digit != '/'; digit--, fd /= 10)
		*digit = (char)('0' + fd % 10);
	char *number = path + sizeof("/proc/self/fd/") - 1;
	while (*number == '0' && number[1])
		memmove(number, number + 1, strlen(number));
	return open(path, flags);
}

/* The worker */

static void worker(int me, int fd, int socket, int go)
{
	/* Every fourth chooses its place; every sixteenth an odd one, where larger tables cannot be linked and smaller ones are. */
	char *chosen = me % 4 == 3 ? (char *)(0x2000000000UL + ((unsigned long)me << 30) + (me % 16 == 15 ? MSHARE_GRANULE : 0)) : NULL;
	window = mshare_attach(fd, 0, 0, chosen, chosen ? MSHARE_FIXED : 0);
	if (window == MAP_FAILED)
		die("mshare_attach");
	control = (struct control *)(window + pool_size);
	if (chosen)
		__atomic_fetch_add(&control->placed, 1, __ATOMIC_RELAXED);
	finish(ATTACH, !chosen || window == chosen);

	/* A quarter of the pool, page by page: a counter in each page that all workers add to. */
	size_t start = (size_t)me * 4 * MIB % (pool_size - share + PAGE) / PAGE * PAGE;
	uint64_t visits = 0;
	for (size_t at = start; at < start + share; at += PAGE)
		visits += __atomic_fetch_add((uint64_t *)(window + at), 1, __ATOMIC_RELAXED) < (uint64_t)workers;
	control->visits[me] = visits;
	finish(WORK, visits == share / PAGE);

	finish(PROTECTED, try_access(window + PAGE, 1) == SEGV_ACCERR && try_access(window + PAGE, 0) == 0);
	finish(UNMAPPED, try_access(window + MSHARE_GRANULE + PAGE, 0) == SEGV_MAPERR);

	if (me == 0) {
		int view = receive_descriptor(socket);
		int attach = mshare_attach(view, 0, 0, NULL, 0) == MAP_FAILED ? errno : 0;
		int writable = reopen(view, O_RDWR) < 0 ? errno : 0;
		struct mshare_map page = { .size = PAGE, .prot = PROT_READ, .flags = MAP_SHARED | MAP_ANONYMOUS, .obj_fd = -1 };
		int map = mshare_map(view, &page, sizeof(page)) < 0 ? errno : 0;
		finish(HANDED_OUT, attach == EACCES && writable == EACCES && map == EBADF);
	} else {
		finish(HANDED_OUT, 1);
	}

	/* The owner exits now. The narrator, who sees it, closes the pipe. */
	char byte;
	if (read(go, &byte, 1) != 0)
		_exit(2);
	int gone = try_access(window + 4 * MSHARE_GRANULE, 0) == SEGV_MAPERR && try_access((char *)control, 1) == SEGV_MAPERR;
	int again = mshare_attach(fd, 0, 0, NULL, 0) == MAP_FAILED && errno == ENXIO;
	_exit(gone && again && mshare_detach(window) == 0 ? 0 : 1);
}

/* The owner */

static void owner(int go)
{
	int fd = mshare_create(O_CLOEXEC);
	if (fd < 0)
		die("mshare_create");
	if (ftruncate(fd, (off_t)(pool_size + PAGE * 4)))
		die("ftruncate");
	struct mshare_map pool = { .size = pool_size, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	struct mshare_map notes = { .offset = pool_size, .size = 4 * PAGE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	if (mshare_map(fd, &pool, sizeof(pool)) < 0 || mshare_map(fd, &notes, sizeof(notes)) < 0)
		die("mshare_map");
	window = mshare_attach(fd, 0, 0, NULL, 0);
	if (window == MAP_FAILED)
		die("mshare_attach");
	control = (struct control *)(window + pool_size);
	printf("owner    creates a region, maps a pool of %lu MiB into it and forks %d workers\n", pool_size / MIB, workers);

	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		die("socketpair");
	for (int i = 0; i < workers; i++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			mshare_detach(window); /* the owner's window, inherited: each worker wants its own */
			worker(i, fd, sockets[1], go);
		}
	}

	let_them(ATTACH);
	printf("attach   %d of %d workers have a window, %d where the kernel chose, %d where they chose\n", (int)control->did[ATTACH], workers,
	       workers - (int)control->placed, (int)control->placed);

	int done = let_them(WORK);
	uint64_t visits = 0, counted = 0;
	for (int i = 0; i < workers; i++)
		visits += control->visits[i];
	for (size_t at = 0; at < pool_size; at += PAGE)
		counted += *(uint64_t *)(window + at);
	printf("work     %d of %d went through %lu MiB page by page: %'lu visits, %'lu counted in the pool\n", done, workers, share / MIB,
	       (unsigned long)visits, (unsigned long)counted);

	if (mshare_protect(fd, 0, MSHARE_GRANULE, PROT_READ))
		die("mshare_protect");
	done = let_them(PROTECTED);
	printf("protect  the first 2 MiB read-only: %d of %d got SIGSEGV (SEGV_ACCERR) for writing there, and still can read\n", done, workers);

	if (mshare_unmap(fd, MSHARE_GRANULE, MSHARE_GRANULE))
		die("mshare_unmap");
	done = let_them(UNMAPPED);
	printf("unmap    the next 2 MiB: %d of %d got SIGSEGV (SEGV_MAPERR) for reading there\n", done, workers);

	int view = reopen(fd, O_RDONLY);
	if (view < 0)
		die("reopening the descriptor read-only");
	send_descriptor(sockets[0], view);
	done = let_them(HANDED_OUT);
	printf("hand out a read-only descriptor%s\n", done == workers ? ": attaching for writing EACCES, reopening for writing EACCES, mapping EBADF" : ", but its rights are wrong");
	exit(0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		workers = atoi(argv[1]);
	if (argc > 2)
		pool_size = (size_t)atoi(argv[2]) * MIB;
	if (workers < 1 || workers > MAX_WORKERS || pool_size < 16 * MIB) {
		printf("usage: demo [WORKERS [MIB]]    1 to %d workers, 16 MiB or more\n", MAX_WORKERS);
		return 2;
	}
	share = pool_size / 4;
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* the owner's orphans become ours */

	int go[2], status, saw = 0;
	if (pipe(go))
		die("pipe");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(go[1]);
		owner(go[0]);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (status)
		return 1;
	close(go[1]);
	while (waitpid(-1, &status, 0) > 0)
		saw += status == 0;
	printf("exit     the owner is gone: %d of %d got SIGSEGV (SEGV_MAPERR) in the pool, ENXIO for attaching again\n", saw, workers);
	return saw == workers ? 0 : 1;
}
