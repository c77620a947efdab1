/* The memory controller: who is charged for what, limits, the OOM killer of a group. Amounts are compared with a margin: Linux charges ahead, and it charges kernel
 * memory which we do not have. */
#include "cgroup.h"
#include <sys/resource.h>

#define MARGIN MIB

static bool about(long bytes, long expected)
{
	return bytes >= expected - (long)MARGIN && bytes <= expected + (long)MARGIN;
}
#define check(condition) printf("%s: %s\n", #condition, (condition) ? "yes" : "no")
#define mib(n) ((long)(n) << 20)

static char *map(size_t size, int sharing)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void touch(char *at, size_t size, size_t step)
{
	for (size_t i = 0; i < size; i += step)
		at[i] = 1;
}

static void report(const char *what)
{
	printf("-- %s\n", what);
	fflush(stdout);
}

static long current(const char *group)
{
	return cg_number(group, "memory.current");
}

static long stat_of(const char *group, const char *key)
{
	return cg_key(group, "memory.stat", key);
}

static int kinds(void)
{
	report("anonymous, shared, page tables");
	char *p = map(mib(16), MAP_PRIVATE);
	madvise(p, mib(16), MADV_NOHUGEPAGE);
	touch(p, mib(16), PAGE);
	check(about(stat_of("m", "anon"), mib(16)));
	check(current("m") >= mib(16) && current("m") < mib(19));
	check(stat_of("m", "pgfault") >= 4096);
	check(cg_number("m", "memory.peak") >= current("m"));
	munmap(p, mib(16));
	check(stat_of("m", "anon") < mib(2));
	char *s = map(mib(8), MAP_SHARED);
	touch(s, mib(8), PAGE);
	check(about(stat_of("m", "shmem"), mib(8)));
	check(about(stat_of("m", "file"), mib(8)));
	check(about(stat_of("m", "file_mapped"), mib(8)));
	munmap(s, mib(8));
	check(stat_of("m", "shmem") < mib(2));
	long before = stat_of("m", "pagetables");
	p = map(mib(1024), MAP_PRIVATE);
	madvise(p, mib(1024), MADV_NOHUGEPAGE);
	touch(p, mib(1024), mib(2));
	long tables = stat_of("m", "pagetables") - before;
	printf("tables for 512 pages far apart: %s\n", tables >= 512 * 4096 && tables < 540 * 4096 ? "as many" : "other");
	check(stat_of("m", "kernel") >= stat_of("m", "pagetables"));
	return 0;
}

static int first_toucher(void)
{
	report("the first toucher pays, the others not");
	int fd = memfd_create("x", 0);
	char *p = mmap(NULL, mib(8), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ftruncate(fd, mib(8));
	touch(p, mib(4), PAGE);
	pid_t child = fork();
	if (child == 0) {
		cg_write("n", "cgroup.procs", "0");
		touch(p, mib(8), PAGE);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	check(about(stat_of("m", "shmem"), mib(4)));
	check(about(stat_of("n", "shmem"), mib(4)));
	/* write(2) and fallocate charge the caller's group. */
	ftruncate(fd, mib(16));
	child = fork();
	if (child == 0) {
		static char buffer[1 << 16];
		cg_write("n", "cgroup.procs", "0");
		for (int i = 0; i < 64; i++)
			pwrite(fd, buffer, sizeof(buffer), mib(8) + i * sizeof(buffer));
		_exit(posix_fallocate(fd, mib(12), mib(4)));
	}
	waitpid(child, NULL, 0);
	check(about(stat_of("n", "shmem"), mib(12)));
	ftruncate(fd, 0);
	check(stat_of("n", "shmem") < mib(1));
	return 0;
}

static int moves(void)
{
	report("charges stay when a process moves");
	char *p = map(mib(16), MAP_PRIVATE);
	madvise(p, mib(16), MADV_NOHUGEPAGE);
	touch(p, mib(8), PAGE);
	cg_write("n", "cgroup.procs", "0");
	touch(p, mib(16), PAGE);
	check(about(stat_of("m", "anon"), mib(8)));
	check(about(stat_of("n", "anon"), mib(8)));
	/* What fork shares stays charged to whom it was; copies are the writer's. */
	pid_t child = fork();
	if (child == 0) {
		cg_write("m", "cgroup.procs", "0");
		touch(p, mib(4), PAGE);
		check(about(stat_of("m", "anon"), mib(12)));
		check(about(stat_of("n", "anon"), mib(8)));
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return 0;
}

static int greedy(void)
{
	char *p = map(mib(64), MAP_PRIVATE);
	madvise(p, mib(64), MADV_NOHUGEPAGE);
	touch(p, mib(64), PAGE);
	return 0;
}

static int greedy_shared(void)
{
	touch(map(mib(64), MAP_SHARED), mib(64), PAGE);
	return 0;
}

static int greedy_file(void)
{
	static char buffer[1 << 16];
	int fd = memfd_create("x", 0);
	for (int i = 0; i < 1024; i++)
		if (write(fd, buffer, sizeof(buffer)) != sizeof(buffer))
			return errno == ENOMEM ? 2 : 3;
	return 0;
}

static int greedy_tables(void)
{
	char *p = map(64L << 30, MAP_PRIVATE);
	madvise(p, 64L << 30, MADV_NOHUGEPAGE);
	touch(p, 64L << 30, mib(2));
	return 0;
}

static void limit(void)
{
	report("memory.max");
	cg_make("o");
	cg_write("o", "memory.max", "8M");
	printf("anonymous: %s\n", status_text(run_in("o", greedy)));
	printf("oom_kill %ld, oom at least: %d, max: %d, oom_group_kill %ld\n", cg_key("o", "memory.events", "oom_kill"), cg_key("o", "memory.events", "oom") >= 1,
	       cg_key("o", "memory.events", "max") >= 1, cg_key("o", "memory.events", "oom_group_kill"));
	check(cg_number("o", "memory.peak") <= mib(8));
	printf("shared: %s\n", status_text(run_in("o", greedy_shared)));
	printf("memfd: %s\n", status_text(run_in("o", greedy_file)));
	printf("page tables: %s\n", status_text(run_in("o", greedy_tables)));
	printf("oom_kill %ld\n", cg_key("o", "memory.events", "oom_kill"));
	printf("of the parent: %ld\n", cg_key("", "memory.events", "oom_kill"));

	/* The limit of a group above: its events there, the kill in the group of the victim too. */
	cg_write("o", "memory.max", "max");
	show("processes below", cg_write("o", "cgroup.subtree_control", "+memory"));
	cg_make("o/p");
	cg_write("o", "memory.max", "8M");
	printf("below: %s\n", status_text(run_in("o/p", greedy)));
	printf("o/p: oom %ld, oom_kill %ld, max %ld\n", cg_key("o/p", "memory.events", "oom"), cg_key("o/p", "memory.events", "oom_kill"),
	       cg_key("o/p", "memory.events", "max"));
	printf("o: oom_kill %ld, local %ld\n", cg_key("o", "memory.events", "oom_kill"), cg_key("o", "memory.events.local", "oom_kill"));
	check(cg_key("o", "memory.events.local", "oom") >= 5);
}

/* A process that holds SIZE in GROUP and sleeps; it is there when this returns. */
static pid_t holder(const char *group, size_t size, const char *adjust)
{
	int ready[2];
	char c;
	pipe(ready);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open("/proc/self/oom_score_adj", O_WRONLY);
		write(fd, adjust, strlen(adjust));
		close(fd);
		cg_write(group, "cgroup.procs", "0");
		char *p = map(size, MAP_PRIVATE);
		madvise(p, size, MADV_NOHUGEPAGE);
		touch(p, size, PAGE);
		write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	read(ready[0], &c, 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static const char *end_of(pid_t pid)
{
	int status;
	for (int i = 0; i < 30; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status_text(status);
		usleep(10000);
	}
	return "alive";
}

static int small(void)
{
	char *p = map(mib(4), MAP_PRIVATE);
	madvise(p, mib(4), MADV_NOHUGEPAGE);
	touch(p, mib(4), PAGE);
	return 7;
}

static void victims(void)
{
	report("who is killed");
	cg_make("v");
	cg_write("v", "memory.max", "16M");
	pid_t big = holder("v", mib(13), "0"), little = holder("v", mib(1), "0");
	/* Whether the newcomer lives depends on how fast the biggest is taken apart. */
	run_in("v", small);
	printf("the biggest: %s\n", end_of(big));
	printf("the other: %s\n", end_of(little));
	big = holder("v", mib(12), "-1000");
	printf("beside one that is exempt: %s\n", status_text(run_in("v", small)));
	printf("the exempt one: %s\n", end_of(big));
	/* Lowering the limit reclaims, then kills. */
	pid_t next = holder("v", mib(1), "0");
	show("memory.max < 1M", cg_write("v", "memory.max", "1M"));
	printf("the one: %s\n", end_of(next));
	printf("the exempt one: %s\n", end_of(big));
	kill(big, SIGKILL);
	waitpid(big, NULL, 0);
	kill(little, SIGKILL);
	waitpid(little, NULL, 0);

	report("memory.oom.group");
	cg_write("v", "memory.max", "16M");
	cg_write("v", "memory.oom.group", "1");
	big = holder("v", mib(2), "0");
	next = holder("v", mib(1), "-1000");
	little = holder("v", mib(1), "0");
	long before = cg_key("v", "memory.events", "oom_kill");
	printf("greedy: %s\n", status_text(run_in("v", greedy)));
	printf("others: %s", end_of(big));
	printf(" %s\n", end_of(little));
	printf("exempt: %s\n", end_of(next));
	printf("oom_kill %ld, oom_group_kill %ld\n", cg_key("v", "memory.events", "oom_kill") - before, cg_key("v", "memory.events", "oom_group_kill"));
	kill(next, SIGKILL);
	waitpid(next, NULL, 0);
}

static void zombies(void)
{
	report("groups that are removed while charged");
	cg_make("z");
	cg_write("z", "cgroup.subtree_control", "+memory");
	cg_make("z/y");
	int fd = memfd_create("x", 0);
	pid_t child = fork();
	if (child == 0) {
		cg_write("z/y", "cgroup.procs", "0");
		_exit(posix_fallocate(fd, 0, mib(8)));
	}
	waitpid(child, NULL, 0);
	check(about(stat_of("z/y", "shmem"), mib(8)));
	show("rmdir z/y", cg_remove("z/y"));
	check(about(stat_of("z", "shmem"), mib(8)));
	printf("dying %ld\n", cg_key("z", "cgroup.stat", "nr_dying_descendants"));
	show("rmdir z", cg_remove("z"));
	ftruncate(fd, 0);
	close(fd);
}

static void peak(void)
{
	report("memory.peak");
	cg_make("k");
	int one = open(CG "/k/memory.peak", O_RDWR), two = open(CG "/k/memory.peak", O_RDWR);
	char text[40];
	run_in("k", small);
	memset(text, 0, sizeof(text));
	pread(one, text, 30, 0);
	check(atol(text) >= mib(4));
	show("reset", write(one, "x", 1));
	memset(text, 0, sizeof(text));
	pread(one, text, 30, 0);
	check(atol(text) < mib(1));
	memset(text, 0, sizeof(text));
	pread(two, text, 30, 0);
	check(atol(text) >= mib(4));
	check(cg_number("k", "memory.peak") >= mib(4));
	run_in("k", small);
	memset(text, 0, sizeof(text));
	pread(one, text, 30, 0);
	check(atol(text) >= mib(4));
	close(one);
	close(two);
}

static void nothing_to_reclaim(void)
{
	report("memory.reclaim");
	pid_t one = holder("m", mib(8), "0");
	show("more than can be had", cg_write("m", "memory.reclaim", "4M"));
	show("nothing", cg_write("m", "memory.reclaim", "0"));
	show("memory.high with nothing to reclaim", cg_write("m", "memory.high", "4M"));
	check(about(stat_of("m", "anon"), mib(8)));
	cg_write("m", "memory.high", "max");
	show("without swap", cg_number("m", "memory.swap.current"));
	kill(one, SIGKILL);
	waitpid(one, NULL, 0);
}

static void switching(void)
{
	report("the controller comes and goes");
	cg_make("s");
	cg_make("s/t");
	pid_t one = holder("s/t", mib(4), "0");
	check(about(stat_of("s", "anon"), mib(4)));
	show("enable below", cg_write("s", "cgroup.subtree_control", "+memory"));
	show("in t", cg_number("s/t", "memory.current") < mib(1));
	check(about(stat_of("s", "anon"), mib(4)));
	kill(one, SIGKILL);
	waitpid(one, NULL, 0);
	one = holder("s/t", mib(4), "0");
	check(about(stat_of("s/t", "anon"), mib(4)));
	show("disable", cg_write("s", "cgroup.subtree_control", "-memory"));
	check(about(stat_of("s", "anon"), mib(4)));
	kill(one, SIGKILL);
	waitpid(one, NULL, 0);
}

int main(void)
{
	mount_groups();
	cg_write("", "cgroup.subtree_control", "+memory");
	cg_make("m");
	cg_make("n");
	printf("%s\n", status_text(run_in("m", kinds)));
	printf("%s\n", status_text(run_in("m", first_toucher)));
	printf("%s\n", status_text(run_in("m", moves)));
	limit();
	victims();
	zombies();
	peak();
	nothing_to_reclaim();
	switching();
	return 0;
}
