/* proc-self.c: what /proc says of a process that knows better itself: status, stat, statm, maps, smaps, pagemap, mem, cmdline, comm, limits. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/times.h>

#define ARENA ((char *)0x2000000000UL)

static char text[1 << 20];

/* The whole of a file; its length, or -1. */
static long slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	long total = 0, n = 0;
	if (fd < 0)
		return -1;
	while (total < (long)sizeof text - 1 && (n = read(fd, text + total, sizeof text - 1 - total)) > 0)
		total += n;
	int error = errno;
	close(fd);
	errno = error;
	text[total] = 0;
	return n < 0 ? -1 : total;
}

/* Prints the names of `text`'s lines with what stands between name and number, to compare the format. */
static void show_shape(const char *path)
{
	if (slurp(path) < 0) {
		printf("%s: %s\n", path, error_name(errno));
		return;
	}
	printf("%s:\n", path);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		/* What depends on the architecture's memory, on numbers of processes and addresses. */
		if (strstr(line, "Mshare:") || strstr(line, "Vmalloc") || strstr(line, "rollup") || !strncmp(line, "NS", 2) || strstr(line, "id:\t"))
			continue;
		char *p = line + strcspn(line, ":") + 1;
		char *end = p + strspn(p, " \t0123456789");
		printf("  %.*s%s%s width %d\n", (int)(p - line), line, *p == '\t' ? " tab" : "", *end == 'k' ? " kB" : "", (int)(end - p));
	}
}

static long number(const char *path, const char *key)
{
	return proc_number(path, key);
}

static void status(void)
{
	show("Tgid", number("/proc/self/status", "Tgid:") == getpid());
	show("Pid", number("/proc/self/status", "Pid:") == getpid());
	show("PPid", number("/proc/self/status", "PPid:") == getppid());
	show("NSpgid", number("/proc/self/status", "NSpgid:") == getpgrp());
	show("NSsid", number("/proc/self/status", "NSsid:") == getsid(0));
	show("Threads", number("/proc/self/status", "Threads:"));
	show("FDSize", number("/proc/self/status", "FDSize:"));
	umask(0123);
	slurp("/proc/self/status");
	printf("%.17s\n", strstr(text, "Umask"));
	prctl(PR_SET_NAME, "a b)\n\\c");
	slurp("/proc/self/status");
	printf("%.*s\n", (int)strcspn(text, "\n"), text);
	slurp("/proc/self/comm");
	printf("%s", text);
	slurp("/proc/self/stat");
	printf("%.*s\n", (int)(strrchr(text, ')') - strchr(text, '(')), strchr(text, '('));
	int fd = open("/proc/self/comm", O_WRONLY);
	show("write comm", write(fd, "a name that is much too long", 28));
	close(fd);
	slurp("/proc/self/comm");
	printf("%s", text);
	gid_t groups[3] = { 1, 20, 300 };
	setgroups(3, groups);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, 40);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, SIG_IGN);
	raise(SIGUSR1);
	kill(getpid(), 40);
	kill(getpid(), 40);
	slurp("/proc/self/status");
	char *from = strstr(text, "Groups:");
	printf("%.*s", (int)strcspn(from, "\n") + 1, from);
	printf("queued %ld\n", number("/proc/self/status", "SigQ:"));
	slurp("/proc/self/status");
	from = strstr(text, "SigPnd:");
	printf("%.*s", (int)(strstr(from, "CapInh") - from), from);
	from = strstr(text, "CapInh:");
	printf("%.*s", (int)(strstr(from, "Speculation") - from), from);
	sigprocmask(SIG_UNBLOCK, &set, (signal(SIGUSR1, SIG_IGN), signal(40, SIG_IGN), NULL));
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
	slurp("/proc/self/status");
	from = strstr(text, "Cpus_allowed:");
	printf("%.*s", (int)(strstr(from, "voluntary") - from), from);
}

static void status_memory(void)
{
	long size = number("/proc/self/status", "VmSize:"), data = number("/proc/self/status", "VmData:");
	long anon = number("/proc/self/status", "RssAnon:"), shmem = number("/proc/self/status", "RssShmem:");
	char *p = mmap(ARENA, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(p, 8 * MIB, MADV_NOHUGEPAGE);
	show("VmSize", number("/proc/self/status", "VmSize:") - size);
	show("VmData", number("/proc/self/status", "VmData:") - data);
	memset(p, 1, 256 * KIB);
	show("RssAnon", (number("/proc/self/status", "RssAnon:") - anon) / 64);
	char *q = mmap(ARENA + 16 * MIB, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memset(q, 1, 128 * KIB);
	show("VmData does not count shared memory", number("/proc/self/status", "VmData:") - data);
	show("RssShmem", number("/proc/self/status", "RssShmem:") - shmem);
	show("VmRSS is the sum", number("/proc/self/status", "VmRSS:") == number("/proc/self/status", "RssAnon:") + number("/proc/self/status", "RssFile:") +
	     number("/proc/self/status", "RssShmem:"));
	mlock(p, 64 * KIB);
	show("VmLck", number("/proc/self/status", "VmLck:"));
	munlock(p, 64 * KIB);
	long table = number("/proc/self/status", "VmPTE:");
	p[8 * MIB - 1] = 1;
	show("VmPTE", number("/proc/self/status", "VmPTE:") - table);
	long peak = number("/proc/self/status", "VmPeak:");
	munmap(p, 8 * MIB);
	show("VmPeak stays", number("/proc/self/status", "VmPeak:") == peak);
	show("VmSize falls", number("/proc/self/status", "VmSize:") - size);
	show("VmHWM", number("/proc/self/status", "VmHWM:") > number("/proc/self/status", "VmRSS:"));
	unsigned long v[7];
	slurp("/proc/self/statm");
	sscanf(text, "%lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6);
	show("statm size", (long)v[0] * 4 == number("/proc/self/status", "VmSize:"));
	show("statm shared", (long)v[2] * 4 == number("/proc/self/status", "RssFile:") + number("/proc/self/status", "RssShmem:"));
	show("statm text", (long)v[3] * 4 == number("/proc/self/status", "VmExe:"));
	show("statm data", (long)v[5] * 4 == number("/proc/self/status", "VmData:") + number("/proc/self/status", "VmStk:"));
	printf("%lu %lu\n", v[4], v[6]);
	munmap(q, MIB);
}

static char **fields(const char *path)
{
	static char *f[64];
	int n = 2;
	slurp(path);
	f[1] = strtok(strrchr(text, ')') + 1, " \n");
	while ((f[n] = strtok(NULL, " \n")) && n < 60)
		n++;
	f[0] = (char *)(long)n;
	return f;
}

static void stat_line(void)
{
	/* f[1] is the state: field 3 of the manual page */
	char **f = fields("/proc/self/stat");
	printf("%ld fields, state %s\n", (long)f[0] + 1, f[1]);
	show("ppid", atoi(f[2]) == getppid());
	show("pgrp", atoi(f[3]) == getpgrp());
	show("session", atoi(f[4]) == getsid(0));
	show("flags", strtoul(f[7], NULL, 10) & 0x440);
	show("priority", atoi(f[16]));
	show("nice", atoi(f[17]));
	show("threads", atoi(f[18]));
	show("itrealvalue", atoi(f[19]));
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	show("start time", labs(atol(f[20]) - (now.tv_sec * 100 + now.tv_nsec / 10000000)) < 6000);
	printf("rsslim %s\n", f[23]);
	show("code", strtoul(f[24], NULL, 10) <= (unsigned long)stat_line && (unsigned long)stat_line < strtoul(f[25], NULL, 10));
	show("stack", strtoul(f[26], NULL, 10) > (unsigned long)&f);
	printf("%s %s %s\n", f[27], f[28], f[33]);
	show("exit signal", atoi(f[36]));
	show("rt priority", atoi(f[38]));
	show("policy", atoi(f[39]));
	static int data = 1;
	show("data", strtoul(f[43], NULL, 10) <= (unsigned long)&data && (unsigned long)&data < strtoul(f[44], NULL, 10));
	show("args", strtoul(f[47], NULL, 10) - strtoul(f[46], NULL, 10) > 5 && strtoul(f[47], NULL, 10) == strtoul(f[48], NULL, 10));
	show("exit code", atoi(f[50]));
	setpriority(PRIO_PROCESS, 0, 7);
	f = fields("/proc/self/stat");
	printf("nice 7: %s %s\n", f[16], f[17]);
	struct sched_param param = { 12 };
	sched_setscheduler(0, SCHED_RR, &param);
	f = fields("/proc/self/stat");
	printf("round robin 12: %s %s rt %s policy %s\n", f[16], f[17], f[38], f[39]);
	param.sched_priority = 0;
	sched_setscheduler(0, SCHED_OTHER, &param);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	f = fields("/proc/self/stat");
	show("minor faults", labs(atol(f[8]) - usage.ru_minflt) < 10);
	struct tms t;
	times(&t);
	show("times", labs(atol(f[12]) + atol(f[13]) - t.tms_utime - t.tms_stime) <= 2);
}

/* The lines of maps (or smaps) in the arena, with addresses relative to it and without device and inode. */
static void show_arena(const char *path)
{
	slurp(path);
	int inside = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned long start, end, offset;
		char perms[8], name[64] = "";
		int at = 0;
		if (sscanf(line, "%lx-%lx %4s %lx %*x:%*x %*u%n %60[^\n]", &start, &end, perms, &offset, &at, name) >= 4 && at) {
			inside = start >= (unsigned long)ARENA && start < (unsigned long)ARENA + GIB;
			if (inside)
				printf("  +%lx-%lx %s %lx %s column %d\n", start - (unsigned long)ARENA, end - (unsigned long)ARENA, perms, offset, name,
				       *name ? (int)(strstr(line, name) - line) : -1);
		} else if (inside && strncmp(line, "THPeligible", 11)) {
			if (strstr(line, " 0 kB") == NULL || !strncmp(line, "Rss", 3))
				printf("    %s\n", line);
		}
	}
}

static void maps(void)
{
	int fd = open("/tmp/proc-self file", O_CREAT | O_RDWR | O_TRUNC, 0600);
	ftruncate(fd, 4 * PAGE);
	int gone = open("/tmp/new\nline", O_CREAT | O_RDWR | O_TRUNC, 0600);
	ftruncate(gone, PAGE);
	unlink("/tmp/new\nline");
	int memory = memfd_create("my memory", 0);
	ftruncate(memory, PAGE);
	mmap(ARENA, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(ARENA + 16 * PAGE, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	mmap(ARENA + 24 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
	mmap(ARENA + 32 * PAGE, PAGE, PROT_NONE, MAP_SHARED | MAP_FIXED, gone, 0);
	mmap(ARENA + 40 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0);
	mmap(ARENA + 48 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(ARENA + 56 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE | MAP_GROWSDOWN, -1, 0);
	mprotect(ARENA + 2 * PAGE, 2 * PAGE, PROT_READ);
	show_arena("/proc/self/maps");
	/* smaps */
	char *a = ARENA;
	a[0] = a[PAGE] = 1;
	(void)*(volatile char *)(a + 4 * PAGE);
	mlock(a + 5 * PAGE, PAGE);
	madvise(a + 6 * PAGE, PAGE, MADV_DONTFORK);
	madvise(a + 7 * PAGE, PAGE, MADV_SEQUENTIAL);
	pwrite(fd, "x", 1, 0);
	pwrite(fd, "x", 1, 3 * PAGE);
	(void)*(volatile char *)(a + 16 * PAGE);
	*(volatile char *)(a + 24 * PAGE) = 1; /* after the read: which pages that maps depends on what is cached then */
	a[40 * PAGE] = a[48 * PAGE] = 1;
	printf("smaps\n");
	show_arena("/proc/self/smaps");
	int go[2], back[2];
	char byte;
	if (pipe(go) || pipe(back))
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		a[0] = 2;
		write(back[1], "x", 1);
		read(go[0], &byte, 1);
		_exit(0);
	}
	read(back[0], &byte, 1);
	printf("after fork and a copy of the first page\n");
	show_arena("/proc/self/smaps");
	long sum = 0, rollup = number("/proc/self/smaps_rollup", "Private_Dirty:");
	slurp("/proc/self/smaps");
	for (char *p = text; (p = strstr(p, "Private_Dirty:")); p++)
		sum += atol(p + 14);
	show("rollup is the sum", labs(sum - rollup) <= 8);
	write(go[1], "x", 1);
	show("child", ended(child));
	int refs = open("/proc/self/clear_refs", O_WRONLY);
	show("clear_refs", write(refs, "1", 1));
	show("clear_refs 9", write(refs, "9", 1));
	show("clear_refs x", write(refs, "x", 1));
	a[0] = 1;
	show_arena("/proc/self/smaps");
	close(refs);
	unlink("/tmp/proc-self file");

	/* pagemap */
	int map = open("/proc/self/pagemap", O_RDONLY);
	uint64_t e[64];
	show("pagemap", pread(map, e, sizeof e, (unsigned long)ARENA / PAGE * 8));
	for (int i = 0; i < 60; i++)
		if (e[i])
			printf("  page %d: %s%s%s frame %s\n", i, e[i] >> 63 ? "present" : "", e[i] >> 61 & 1 ? " file" : "", e[i] >> 56 & 1 ? " exclusive" : "",
			       e[i] & ((1UL << 55) - 1) ? "known" : "0");
	show("odd size", pread(map, e, 12, (unsigned long)ARENA / PAGE * 8));
	show("odd place", pread(map, e, 8, 4));
	show("beyond the end", pread(map, e, 8, 1UL << 55));
	show("SEEK_END", lseek(map, 0, SEEK_END));
	show("write", write(map, e, 8));
	close(map);
	close(fd);
	close(gone);
	close(memory);
}

static void memory(void)
{
	int fd = open("/proc/self/mem", O_RDWR);
	char buffer[2 * PAGE] = "";
	volatile char *a = ARENA;
	strcpy((char *)ARENA, "in memory");
	show("mem read", pread(fd, buffer, 10, (long)ARENA));
	printf("%s\n", buffer);
	show("mem write", pwrite(fd, "out", 3, (long)ARENA));
	printf("%s\n", (char *)ARENA);
	show("to a page that is read-only", pwrite(fd, "forced", 7, (long)ARENA + 2 * PAGE));
	printf("%s %s\n", (char *)ARENA + 2 * PAGE, try_write(a + 2 * PAGE));
	show("to a shared page that is read-only", pwrite(fd, "x", 1, (long)ARENA + 16 * PAGE));
	show("read of PROT_NONE", pread(fd, buffer, 1, (long)ARENA + 32 * PAGE));
	show("read of nothing", pread(fd, buffer, 1, (long)ARENA + 12 * PAGE));
	show("over the end", pread(fd, buffer, 2 * PAGE, (long)ARENA + 7 * PAGE));
	show("read of 0 bytes", pread(fd, buffer, 0, (long)ARENA + 12 * PAGE));
	show("to a bad pointer", pread(fd, (void *)8, 4, (long)ARENA));
	show("seek", lseek(fd, (long)ARENA, SEEK_SET) == (long)ARENA);
	show("read", read(fd, buffer, 3));
	show("position", lseek(fd, 0, SEEK_CUR) - (long)ARENA);
	show("SEEK_END", lseek(fd, 0, SEEK_END));
	show("far away", lseek(fd, -4096, SEEK_SET));
	show("read there", read(fd, buffer, 1));
	close(fd);
}

static volatile int other_tid;

static void *thread(void *go)
{
	char byte;
	other_tid = gettid();
	prctl(PR_SET_NAME, "other");
	printf("thread-self: %s\n", readlink("/proc/thread-self", text, 100) > 0 && atoi(strrchr(text, '/') + 1) == gettid() ? "me" : "?");
	read(*(int *)go, &byte, 1);
	return NULL;
}

static void threads(void)
{
	int go[2];
	char path[64];
	pthread_t t;
	if (pipe(go))
		return;
	pthread_create(&t, NULL, thread, &go[0]);
	while (!other_tid)
		usleep(1000);
	usleep(100000);
	show("threads in status", number("/proc/self/status", "Threads:"));
	show("threads in stat", atoi(fields("/proc/self/stat")[18]));
	show("exit signal of a thread", (snprintf(path, sizeof path, "/proc/self/task/%d/stat", other_tid), atoi(fields(path)[36])));
	snprintf(path, sizeof path, "/proc/self/task/%d/comm", other_tid);
	slurp(path);
	printf("%s", text);
	snprintf(path, sizeof path, "/proc/%d/comm", other_tid);
	show("a thread by its number", slurp(path));
	snprintf(path, sizeof path, "/proc/%d/task/%d/task", getpid(), getpid());
	show("no task in a task", access(path, F_OK));
	snprintf(path, sizeof path, "/proc/self/task/%d", getpid() + 1000);
	show("no such task", access(path, F_OK));
	snprintf(path, sizeof path, "/proc/self/task/%d/status", other_tid);
	show("Tgid of the thread", number(path, "Tgid:") == getpid());
	show("State of the thread", (slurp(path), !strncmp(strstr(text, "State:"), "State:\tS (sleeping)\n", 20)));
	write(go[1], "x", 1);
	pthread_join(t, NULL);
	usleep(50000);
	show("the thread is gone", access(path, F_OK));
}

static void texts(int argc, char **argv)
{
	show("cmdline", slurp("/proc/self/cmdline") == (long)strlen(argv[0]) + 1);
	char *arguments = argv[0];
	long length = argc == 1 ? strlen(arguments) + 1 : 0;
	memset(arguments, 'x', length);
	show("without its end", slurp("/proc/self/cmdline") >= length);
	printf("%.3s\n", text);
	arguments[3] = 0;
	slurp("/proc/self/cmdline");
	printf("%s\n", text);
	show("limits", slurp("/proc/self/limits"));
	struct rlimit limit = { 12345, 67890 };
	setrlimit(RLIMIT_CORE, &limit);
	slurp("/proc/self/limits");
	printf("%.*s", (int)strcspn(strstr(text, "Max core"), "\n") + 1, strstr(text, "Max core"));
	show("auxv", slurp("/proc/self/auxv") % 16);
	show("personality", slurp("/proc/self/personality"));
	show("oom_score_adj", slurp("/proc/self/oom_score_adj"));
	int fd = open("/proc/self/oom_score_adj", O_RDWR);
	show("set it", write(fd, "500\n", 4));
	show("wrong", write(fd, "1001", 4));
	show("wrong", write(fd, "x", 1));
	close(fd);
	show("is", (slurp("/proc/self/oom_score_adj"), atoi(text)));
	show("oom_score rises", (slurp("/proc/self/oom_score"), atoi(text) > 900));
	show("coredump_filter", slurp("/proc/self/coredump_filter"));
	printf("%s", text);
	show("wchan", slurp("/proc/self/wchan"));
	fd = open("/proc/self/status", O_RDONLY);
	show("seek to the end", lseek(fd, 0, SEEK_END));
	show("seek before the start", lseek(fd, -1, SEEK_SET));
	show("seek", lseek(fd, 3, SEEK_SET));
	show("read", read(fd, text, 4));
	printf("%.4s\n", text);
	show("pread", pread(fd, text, 4, 0));
	printf("%.4s\n", text);
	show("far away", pread(fd, text, 4, 100000));
	show("write", write(fd, "x", 1));
	show("ftruncate", ftruncate(fd, 0));
	show("mmap", (long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	close(fd);
	fd = open("/proc/self/status", O_WRONLY);
	show("open for writing", fd >= 0);
	show("write", write(fd, "x", 1));
	close(fd);
	fd = open("/proc/self/clear_refs", O_RDWR);
	show("read clear_refs", read(fd, text, 4));
	close(fd);
	fd = open("/proc/uptime", O_WRONLY);
	show("write uptime", write(fd, "x", 1));
	close(fd);
	show("create", open("/proc/self/new", O_CREAT | O_WRONLY, 0600));
	show("mkdir", mkdir("/proc/self/new", 0700));
	show("unlink", unlink("/proc/self/maps"));
	show("rename", rename("/proc/self/maps", "/proc/self/new"));
	show("chmod", chmod("/proc/self/maps", 0));
	show("symlink", symlink("x", "/proc/new"));
}

int main(int argc, char **argv)
{
	catch_faults();
	show_shape("/proc/self/status");
	show_shape("/proc/self/smaps_rollup");
	show_shape("/proc/meminfo");
	status();
	status_memory();
	stat_line();
	maps();
	memory();
	threads();
	texts(argc, argv);
	return 0;
}
