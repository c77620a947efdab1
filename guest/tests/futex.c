// futex(2): errors, counts, bitsets, requeueing, WAKE_OP, locks with an owner, futex_waitv, robust lists; between processes through shared memory
// mapped at different addresses.
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static long futex(void *addr, int op, unsigned val, void *timeout, void *addr2, unsigned val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}
static void *count_of(long n) { return (void *)n; }

static int words[4];
static struct timespec little = { 0, 1000000 }, bad = { 0, 1000000000 }, past = { 1, 0 };

static void errors(void)
{
	int private_[2] = { 0, 0 };
	show("wait other value", futex(private_, FUTEX_WAIT, 1, NULL, NULL, 0));
	show("wait unaligned", futex((char *)private_ + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
	show("wait fault", futex((void *)4096, FUTEX_WAIT, 0, NULL, NULL, 0));
	show("wait fault private", futex((void *)4096, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
	show("wake nothing there", futex((void *)4096, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	show("wake nothing there shared", futex((void *)4096, FUTEX_WAKE, 1, NULL, NULL, 0));
	show("wait timeout", futex(private_, FUTEX_WAIT, 0, &little, NULL, 0));
	show("wait bad timeout", futex(private_, FUTEX_WAIT, 0, &bad, NULL, 0));
	show("wait timeout fault", futex(private_, FUTEX_WAIT, 0, (void *)8, NULL, 0));
	show("wait_bitset 0", futex(private_, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
	show("wait_bitset past", futex(private_, FUTEX_WAIT_BITSET, 0, &past, NULL, 1));
	show("wait_bitset realtime past", futex(private_, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, 1));
	show("wait realtime", futex(private_, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &past, NULL, 1));
	show("wake none", futex(private_, FUTEX_WAKE, 1, NULL, NULL, 0));
	show("wake_bitset 0", futex(private_, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
	show("fd", futex(private_, FUTEX_FD, 1, NULL, NULL, 0));
	show("unknown", futex(private_, 60, 1, NULL, NULL, 0));
	show("requeue negative", futex(private_, FUTEX_REQUEUE, -1, count_of(1), private_ + 1, 0));
	show("cmp_requeue other", futex(private_, FUTEX_CMP_REQUEUE, 1, count_of(1), private_ + 1, 5));
	show("cmp_requeue none", futex(private_, FUTEX_CMP_REQUEUE, 1, count_of(1), private_ + 1, 0));
	show("wake read-only", futex((void *)((long)errors & ~3L), FUTEX_WAKE, 1, NULL, NULL, 0));
	show("wake_op read-only", futex(private_, FUTEX_WAKE_OP, 1, count_of(1), (void *)((long)errors & ~3L), FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
}

static void operations(void)
{
	static const int ops[] = { FUTEX_OP_SET, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR };
	for (int op = 0; op < 5; op++) {
		words[1] = 0x35;
		futex(words, FUTEX_WAKE_OP, 1, count_of(1), words + 1, FUTEX_OP(ops[op], 0x1f, FUTEX_OP_CMP_EQ, 0));
		printf("op %d: %x\n", op, words[1]);
		words[1] = 0x35;
		futex(words, FUTEX_WAKE_OP, 1, count_of(1), words + 1, FUTEX_OP((ops[op] | FUTEX_OP_OPARG_SHIFT), 5, FUTEX_OP_CMP_EQ, 0));
		printf("shifted %d: %x\n", op, words[1]);
	}
	words[1] = 7;
	futex(words, FUTEX_WAKE_OP, 1, count_of(1), words + 1, FUTEX_OP(FUTEX_OP_ADD, 0xfff, FUTEX_OP_CMP_EQ, 0));
	printf("negative: %d\n", words[1]);
	show("op 6", futex(words, FUTEX_WAKE_OP, 1, count_of(1), words + 1, FUTEX_OP(6, 1, 0, 0)));
	show("cmp 6", futex(words, FUTEX_WAKE_OP, 1, count_of(1), words + 1, FUTEX_OP(FUTEX_OP_ADD, 1, 6, 0)));
	printf("added anyway: %d\n", words[1]);
}

/* Threads that sleep on a word and say how it ended. */
struct sleeper {
	pthread_t thread;
	int *word;
	unsigned bitset;
	volatile pid_t tid;
	long result;
};
static void *sleep_on(void *arg)
{
	struct sleeper *s = arg;
	s->tid = syscall(SYS_gettid);
	s->result = futex(s->word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, s->bitset);
	return NULL;
}
static void start(struct sleeper *s, int *word, unsigned bitset)
{
	*s = (struct sleeper){ .word = word, .bitset = bitset };
	pthread_create(&s->thread, NULL, sleep_on, s);
	while (!s->tid)
		sched_yield();
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", s->tid);
	for (char text[512], state = 0; state != 'S';) {
		int fd = open(path, O_RDONLY);
		text[read(fd, text, sizeof(text) - 1)] = 0;
		close(fd);
		state = strrchr(text, ')')[2];
		if (state != 'S')
			usleep(1000);
	}
}
#define PRIVATE(op) ((op) | FUTEX_PRIVATE_FLAG)

static void threads(void)
{
	struct sleeper s[6];
	words[0] = words[1] = 0;
	for (int i = 0; i < 4; i++)
		start(&s[i], words, i < 2 ? 1 : 2);
	show("shared wake does not reach private waiters", futex(words, FUTEX_WAKE, 9, NULL, NULL, 0));
	show("wake bitset 4", futex(words, PRIVATE(FUTEX_WAKE_BITSET), 9, NULL, NULL, 4));
	show("wake bitset 2, one", futex(words, PRIVATE(FUTEX_WAKE_BITSET), 1, NULL, NULL, 2));
	pthread_join(s[2].thread, NULL);
	printf("first come, first woken: %ld\n", s[2].result);
	show("wake 0 wakes one", futex(words, PRIVATE(FUTEX_WAKE), 0, NULL, NULL, 0));
	pthread_join(s[0].thread, NULL);
	show("wake rest", futex(words, PRIVATE(FUTEX_WAKE), 9, NULL, NULL, 0));
	pthread_join(s[1].thread, NULL);
	pthread_join(s[3].thread, NULL);
	for (int i = 0; i < 5; i++)
		start(&s[i], words, 1);
	show("requeue", futex(words, PRIVATE(FUTEX_CMP_REQUEUE), 1, count_of(2), words + 1, 0));
	show("wake first", futex(words, PRIVATE(FUTEX_WAKE), 9, NULL, NULL, 0));
	show("wake second", futex(words + 1, PRIVATE(FUTEX_WAKE), 9, NULL, NULL, 0));
	for (int i = 0; i < 5; i++)
		pthread_join(s[i].thread, NULL);
	for (int i = 0; i < 4; i++)
		start(&s[i], words + i % 2, 1);
	show("wake_op both", futex(words, PRIVATE(FUTEX_WAKE_OP), 1, count_of(9), words + 1, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
	show("wake_op first", futex(words, PRIVATE(FUTEX_WAKE_OP), 9, count_of(9), words + 1, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)));
	for (int i = 0; i < 4; i++)
		pthread_join(s[i].thread, NULL);
}

static unsigned lock_word;
static void locks(void)
{
	int tid = syscall(SYS_gettid);
	lock_word = 0;
	show("unlock not mine", futex(&lock_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	show("lock", futex(&lock_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	printf("word %d\n", lock_word == (unsigned)tid);
	show("lock twice", futex(&lock_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	show("trylock twice", futex(&lock_word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	show("unlock", futex(&lock_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	printf("word %x\n", lock_word);
	show("trylock", futex(&lock_word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	futex(&lock_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	lock_word = 30000;
	show("owner that is not there", futex(&lock_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	lock_word = getppid();
	show("try another's", futex(&lock_word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	show("lock another's", futex(&lock_word, FUTEX_LOCK_PI, 0, &past, NULL, 0));
	printf("waiters %d\n", lock_word >> 31);
	lock_word = 0;
}

static pthread_mutex_t pi, robust;
static void *take_pi(void *arg)
{
	int error = pthread_mutex_lock(&pi);
	++*(int *)arg;
	pthread_mutex_unlock(&pi);
	return (void *)(long)error;
}
static void *die_with(void *arg)
{
	pthread_mutex_lock(arg);
	return NULL;
}
static void mutexes(void)
{
	pthread_mutexattr_t attr;
	pthread_t threads_[4];
	int counter = 0;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&pi, &attr);
	pthread_mutex_lock(&pi);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads_[i], NULL, take_pi, &counter);
	usleep(20000);
	printf("held %d\n", counter);
	pthread_mutex_unlock(&pi);
	for (int i = 0; i < 4; i++)
		pthread_join(threads_[i], NULL);
	printf("passed on %d\n", counter);

	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_NONE);
	pthread_mutex_init(&robust, &attr);
	pthread_create(&threads_[0], NULL, die_with, &robust);
	pthread_join(threads_[0], NULL);
	printf("owner died: %s\n", error_name(pthread_mutex_lock(&robust)));
	printf("consistent: %s\n", error_name(pthread_mutex_consistent(&robust)));
	pthread_mutex_unlock(&robust);
	printf("again: %s\n", error_name(pthread_mutex_lock(&robust)));
	pthread_mutex_unlock(&robust);

	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_t both;
	pthread_mutex_init(&both, &attr);
	pthread_create(&threads_[0], NULL, die_with, &both);
	pthread_join(threads_[0], NULL);
	printf("owner died: %s\n", error_name(pthread_mutex_lock(&both)));
	pthread_mutex_unlock(&both);
	printf("not recoverable: %s\n", error_name(pthread_mutex_lock(&both)));
}

/* A robust mutex between processes, mapped twice; killed while another waits. */
static void processes(void)
{
	int fd = memfd_create("shared", 0), status;
	(void)!ftruncate(fd, PAGE);
	char *one = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *two = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_t *mutex = (pthread_mutex_t *)one;
	pthread_mutex_init(mutex, &attr);
	int *word = (int *)(one + 1024), *alias = (int *)(two + 1024);
	pid_t child = fork();
	if (child == 0) {
		long result = futex(alias, FUTEX_WAIT, 0, NULL, NULL, 0);
		pthread_mutex_lock(mutex);
		*word = 2;
		futex(word, FUTEX_WAKE, 1, NULL, NULL, 0);
		for (;;)
			pause();
		_exit(result);
	}
	until_asleep(child);
	*word = 1;
	show("wake through the other mapping", futex(word, FUTEX_WAKE, 1, NULL, NULL, 0));
	while (*word == 1)
		futex(word, FUTEX_WAIT, 1, NULL, NULL, 0);
	printf("try: %s\n", error_name(pthread_mutex_trylock(mutex)));
	pid_t second = fork();
	if (second == 0)
		_exit(pthread_mutex_lock(mutex) == EOWNERDEAD ? 0 : 1);
	until_asleep(second);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	waitpid(second, &status, 0);
	printf("waiter was told %x\n", status);
	// Anonymous memory after a fork is not shared.
	int mine = 0;
	child = fork();
	if (child == 0)
		_exit(futex(&mine, FUTEX_WAIT, 0, &(struct timespec){ 0, 200000000 }, NULL, 0) == -1 && errno == ETIMEDOUT ? 0 : 1);
	until_asleep(child);
	show("wake in another process", futex(&mine, FUTEX_WAKE, 1, NULL, NULL, 0));
	waitpid(child, &status, 0);
	printf("timed out %x\n", status);
}

struct waitv { uint64_t val, uaddr; uint32_t flags, reserved; };
static void *wake_second(void *arg)
{
	until_asleep(*(pid_t *)arg);
	words[1] = 1;
	futex(words + 1, PRIVATE(FUTEX_WAKE), 1, NULL, NULL, 0);
	return NULL;
}
static void waitv(void)
{
	struct waitv v[3] = { { 0, (long)words, 2 | 128, 0 }, { 0, (long)(words + 1), 2 | 128, 0 }, { 0, (long)(words + 2), 2 | 128, 0 } };
	struct timespec soon;
	words[0] = words[1] = words[2] = 0;
	clock_gettime(CLOCK_MONOTONIC, &soon);
	show("waitv flags", syscall(SYS_futex_waitv, v, 1, 1, NULL, 1));
	show("waitv 0", syscall(SYS_futex_waitv, v, 0, 0, NULL, 1));
	show("waitv 129", syscall(SYS_futex_waitv, v, 129, 0, NULL, 1));
	show("waitv timeout", syscall(SYS_futex_waitv, v, 3, 0, &soon, 1));
	show("waitv clock", syscall(SYS_futex_waitv, v, 3, 0, &soon, 7));
	v[1].val = 1;
	show("waitv value", syscall(SYS_futex_waitv, v, 3, 0, NULL, 1));
	v[1].val = 0;
	v[2].flags = 1;
	show("waitv size", syscall(SYS_futex_waitv, v, 3, 0, NULL, 1));
	v[2].flags = 2 | 128;
	v[2].reserved = 1;
	show("waitv reserved", syscall(SYS_futex_waitv, v, 3, 0, NULL, 1));
	v[2].reserved = 0;
	pthread_t thread;
	pid_t self = getpid();
	pthread_create(&thread, NULL, wake_second, &self);
	show("waitv", syscall(SYS_futex_waitv, v, 3, 0, NULL, 1));
	pthread_join(thread, NULL);
}

static void robust_calls(void)
{
	void *head;
	size_t length;
	show("set_robust_list size", syscall(SYS_set_robust_list, words, 16));
	show("get_robust_list", syscall(SYS_get_robust_list, 0, &head, &length));
	printf("length %zu\n", length);
	show("get_robust_list nobody", syscall(SYS_get_robust_list, 30000, &head, &length));
	show("get_robust_list fault", syscall(SYS_get_robust_list, 0, 8, &length));
}

int main(void)
{
	errors();
	operations();
	threads();
	locks();
	mutexes();
	processes();
	waitv();
	robust_calls();
}
