/* abi-share.c: what sharing costs and saves: tables, faults, links; fork; several processes at different addresses; futexes. */
#include "region.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/resource.h>

static int sharing;

static long minor_faults(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static long table_kib(void)
{
	return proc_number("/proc/self/status", "VmPTE:");
}

/* N processes touch all of a pool that one has populated. */
static void pool(void)
{
	unsigned long size = 32 * MIB;
	int fd = region(size), sharers = 4;
	map_anon(fd, 0, size, RW);
	char *window = window_on(fd);
	for (unsigned long at = 0; at < size; at += PAGE)
		window[at] = 1;
	struct mshare_stat st = stat_of(fd);
	expect_is(st.resident, size, "all of it is resident");
	if (sharing)
		expect_is(st.table_bytes, (size / GRANULE + 2) * PAGE, "last-level tables exist once, and two above them");
	for (int i = 0; i < sharers; i++)
		expect_in_child({
			volatile long sum = 0;
			/* Once before it counts: what the calls themselves copy after fork. */
			sum = minor_faults() + table_kib() + (long)stat_of(fd).faults;
			sum = 0;
			long tables = table_kib();
			char *mine = window_on(fd);
			unsigned long host_faults = stat_of(fd).faults, links = stat_of(fd).links;
			long faults = minor_faults();
			for (unsigned long at = 0; at < size; at += PAGE)
				sum += mine[at];
			faults = minor_faults() - faults;
			expect_is(sum, size / PAGE, "the pool's contents");
			if (sharing) {
				expect(faults == 0, "no minor fault for reading it all");
				expect_is(stat_of(fd).faults - host_faults, 0, "no fault in the region");
				expect_is(stat_of(fd).links - links, 1, "one entry was linked");
				expect(table_kib() - tables <= 4, "at most 4 KiB of page tables of its own");
				for (unsigned long at = 0; at < size; at += PAGE)
					mine[at] = 1;
				expect_is(stat_of(fd).faults - host_faults, 0, "nor for writing");
			} else {
				expect(faults >= (long)(size / PAGE / 16), "private tables: fault-around of 16 pages");
				expect(table_kib() - tables >= (long)(size / GRANULE * 4), "and tables of its own");
			}
		});
	mshare_detach(window);
	close(fd);
}

/* A window at an odd place is linked by smaller entries; the result is the same. */
static void odd_places(void)
{
	unsigned long size = 32 * MIB;
	int fd = region(size);
	map_anon(fd, 0, size, RW);
	char *window = window_on(fd);
	for (unsigned long at = 0; at < size; at += PAGE)
		window[at] = (char)(at / PAGE);
	char *place = (char *)(0x3000000000UL + 37 * GRANULE);
	char *odd = mshare_attach(fd, 0, 0, place, MSHARE_FIXED);
	expect(odd == place, "a window at an odd place");
	unsigned long links = stat_of(fd).links, faults = stat_of(fd).faults;
	expect(!memcmp(window, odd, size), "shows the same");
	if (sharing) {
		expect_is(stat_of(fd).links - links, size / GRANULE, "one entry for each 2 MiB");
		expect_is(stat_of(fd).faults - faults, 0, "without faults in the region");
	}
	odd[size - 1] = 99;
	expect_is(window[size - 1], 99, "both ways");
	/* A part of the region, and the same part in a process that has it elsewhere. */
	char *part = mshare_attach(fd, 4 * GRANULE, 8 * GRANULE, NULL, 0);
	expect(part != MAP_FAILED && !memcmp(part, window + 4 * GRANULE, 8 * GRANULE), "a window on a part");
	expect_text(try_read(part + 8 * GRANULE), "SEGV_MAPERR", "ends where it ends");
	expect_is(mshare_protect(fd, 4 * GRANULE, PAGE, PROT_READ), 0, "protect");
	expect_text(try_write(part), "SEGV_ACCERR", "is seen in the part");
	expect_text(try_write(odd + 4 * GRANULE), "SEGV_ACCERR", "and at the odd place");
	expect_is(mshare_unmap(fd, 5 * GRANULE, GRANULE), 0, "unmap a whole table");
	expect_text(try_read(part + GRANULE), "SEGV_MAPERR", "is seen in the part");
	expect_text(try_read(odd + 5 * GRANULE), "SEGV_MAPERR", "and at the odd place");
	expect_text(try_read(window + 5 * GRANULE), "SEGV_MAPERR", "and in the first");
	map_anon(fd, 5 * GRANULE, GRANULE, RW);
	part[GRANULE] = 3;
	expect(odd[5 * GRANULE] == 3 && window[5 * GRANULE] == 3, "a new object there is shared again");
	mshare_detach(window);
	expect_is(odd[5 * GRANULE], 3, "after one window goes the others stay");
	mshare_detach(part);
	mshare_detach(odd);
	expect_is(stat_of(fd).links, 0, "no links are left");
	close(fd);
}

static void forks(void)
{
	int fd = region(4 * GRANULE);
	map_anon(fd, 0, 4 * GRANULE, RW);
	char *window = window_on(fd);
	window[0] = 1;
	expect_in_child({
		unsigned long faults = stat_of(fd).faults;
		expect_is(window[0], 1, "the child has the window");
		expect(!sharing || stat_of(fd).faults == faults, "and no fault in the region");
		window[PAGE] = 2;
		expect_is(mshare_detach(window), 0, "it may detach it");
		expect_text(try_read(window), "SEGV_MAPERR", "for itself");
	});
	expect_is(window[PAGE], 2, "the parent has it still, with what the child wrote");
	expect_in_child(expect_is(mshare_unmap(fd, 0, PAGE), 0, "a child may unmap an object"));
	expect_text(try_read(window), "SEGV_MAPERR", "for all");
	mshare_detach(window);
	close(fd);
}

/* A mutex in the region, used by processes that have it at different addresses, before anybody else has touched it there. */
static void futexes(void)
{
	int fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	char *window = window_on(fd);
	struct shared { pthread_mutex_t mutex; long count; } *shared = (void *)window;
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &attr);
	pid_t pids[3];
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct shared *mine = (void *)mshare_attach(fd, 0, 0, (void *)(0x3000000000UL + (unsigned long)i * 8 * GRANULE), MSHARE_FIXED);
			for (int j = 0; j < 500; j++) {
				pthread_mutex_lock(&mine->mutex);
				long seen = mine->count;
				if (j % 50 == 0)
					sched_yield();
				mine->count = seen + 1;
				pthread_mutex_unlock(&mine->mutex);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++)
		ended(pids[i]);
	expect_is(shared->count, 1500, "3 processes x 500 increments under one mutex");
	/* Wait in one window, wake through another. */
	int *word = (int *)(window + 8 * PAGE);
	pid_t waiter = fork();
	if (waiter == 0) {
		char *mine = window_on(fd);
		_exit(syscall(SYS_futex, mine + 8 * PAGE, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : 1);
	}
	while (syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
		sched_yield();
	expect_is(ended(waiter), 0, "a futex wait is woken through another window");
	mshare_detach(window);
	close(fd);
}

static void proc_files(void)
{
	int fd = region(4 * GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	long rss = proc_number("/proc/self/status", "RssMshare:");
	char *window = window_on(fd);
	for (int i = 0; i < 16; i++)
		window[i * PAGE] = 1;
	expect_is(proc_number("/proc/self/status", "RssMshare:") - rss, 64, "RssMshare counts what is present in windows");
	char *second = window_on(fd);
	for (int i = 0; i < 16; i++)
		second[i * PAGE] = 1;
	expect_is(proc_number("/proc/self/status", "RssMshare:") - rss, 64, "each frame once");
	char line[256], want[64];
	int found = 0;
	long mshare = -1, resident = -1, pss = -1;
	snprintf(want, sizeof(want), "%lx-%lx rw-s 00000000 00:0f ", (unsigned long)window, (unsigned long)window + 4 * GRANULE);
	FILE *f = fopen("/proc/self/smaps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && line[0] != ' ' && line[0] >= '0' && line[0] <= 'f' && !strchr(line, ':'))
			found = 0;
		if (!strncmp(line, want, strlen(want)))
			found = 1, expect(strstr(line, " /mshare:") != NULL, "maps names the region");
		else if (found && !strncmp(line, "VmFlags:", 8))
			found = 0;
		if (found && !strncmp(line, "Mshare:", 7))
			mshare = atol(line + 7);
		if (found && !strncmp(line, "Rss:", 4))
			resident = atol(line + 4);
		if (found && !strncmp(line, "Pss:", 4))
			pss = atol(line + 4);
	}
	if (f)
		fclose(f);
	expect_is(resident, 64, "smaps: Rss of the window");
	expect_is(mshare, 64, "smaps: Mshare");
	expect(pss > 0 && pss <= 64, "smaps: Pss");
	f = fopen("/proc/mshare", "r");
	expect(f != NULL && fgets(line, sizeof(line), f) != NULL && fgets(line, sizeof(line), f) != NULL, "/proc/mshare has a header and a line");
	if (f)
		fclose(f);
	f = fopen("/proc/self/mshare", "r");
	expect(f != NULL && fgets(line, sizeof(line), f) != NULL, "/proc/self/mshare");
	if (f)
		fclose(f);
	mshare_detach(window);
	mshare_detach(second);
	expect_is(proc_number("/proc/self/status", "RssMshare:") - rss, 0, "nothing after detaching");
	close(fd);
}

/* Access that races with unmapping: whatever happens, nothing passes after the call has returned. */
static void racing(void)
{
	int fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	char *window = window_on(fd);
	volatile int *stopped = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t writers[2];
	for (int i = 0; i < 2; i++) {
		writers[i] = fork();
		if (writers[i] == 0) {
			char *mine = i ? window : window_on(fd);
			while (!*stopped) {
				(void)!strcmp(try_write(mine + PAGE), "ok");
			}
			_exit(0);
		}
	}
	int passed = 0;
	for (int i = 0; i < 20; i++) {
		map_anon(fd, PAGE, PAGE, RW);
		sched_yield();
		mshare_protect(fd, PAGE, PAGE, PROT_READ);
		char before = window[PAGE];
		for (int j = 0; j < 3; j++)
			sched_yield();
		passed += window[PAGE] != before;
		mshare_unmap(fd, PAGE, PAGE);
	}
	*stopped = 1;
	for (int i = 0; i < 2; i++)
		ended(writers[i]);
	expect_is(passed, 0, "no write passed after protect had returned");
	mshare_detach(window);
	close(fd);
}

int main(void)
{
	catch_faults();
	int probe = region(PAGE);
	sharing = !(stat_of(probe).flags & MSHARE_STAT_NO_SHARE);
	close(probe);
	pool();
	odd_places();
	forks();
	futexes();
	proc_files();
	racing();
	return failures != 0;
}
