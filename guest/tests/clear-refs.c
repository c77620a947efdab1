/* clear-refs.c: /proc/PID/clear_refs, Referenced in smaps and the soft-dirty bit of pagemap; /proc/PID/mem of another process. */
#include "check.h"

static long referenced(const void *at)
{
	char line[256], head[32];
	long value = -1;
	int inside = 0;
	snprintf(head, sizeof(head), "%lx-", (unsigned long)at);
	FILE *f = fopen("/proc/self/smaps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, head, strlen(head)))
			inside = 1;
		if (inside && sscanf(line, "Referenced: %ld", &value) == 1)
			break;
	}
	if (f)
		fclose(f);
	return value;
}

static int clear(const char *text)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	long n = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

static void pagemap(const char *name, const void *at)
{
	unsigned long entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	if (pread(fd, &entry, 8, (off_t)((unsigned long)at / PAGE * 8)) == 8)
		printf("%s: present %lu soft-dirty %lu file %lu\n", name, entry >> 63, (entry >> 55) & 1, (entry >> 61) & 1);
	close(fd);
}

static void bits(void)
{
	/* Two VMAs that do not merge with others. */
	char *anonymous = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(anonymous, 64 * PAGE, MADV_DONTDUMP);
	char *shared = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int file = open("/tmp/file", O_CREAT | O_RDWR, 0600);
	if (ftruncate(file, 16 * PAGE))
		return;
	char *private = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	memset(anonymous, 1, 20 * PAGE);
	memset(shared, 1, 10 * PAGE);
	private[0] = 1;
	private[PAGE] = 1;
	printf("at first: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	pagemap("written", anonymous);
	show("2", clear("2"));
	printf("anonymous cleared: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	anonymous[0] = 2;
	(void)*(volatile char *)(anonymous + PAGE);
	shared[0] = 2;
	printf("used: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	show("3", clear("3\n"));
	printf("mapped cleared: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	shared[PAGE] = 2;
	private[PAGE] = 2;
	printf("used: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	show("1", clear(" 1 "));
	printf("all cleared: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	memset(anonymous, 3, 64 * PAGE);
	printf("used: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	show("4", clear("4"));
	pagemap("after 4", anonymous);
	anonymous[0] = 4;
	pagemap("written again", anonymous);
	pagemap("never touched", shared + 20 * PAGE);
	pagemap("shared", shared);
	printf("4 clears no references: %ld %ld %ld\n", referenced(anonymous), referenced(shared), referenced(private));
	long before = proc_number("/proc/self/status", "VmHWM:");
	munmap(anonymous, 64 * PAGE);
	show("5", clear("5"));
	printf("the peak is reset: %d\n", proc_number("/proc/self/status", "VmHWM:") < before && proc_number("/proc/self/status", "VmHWM:") >= proc_number("/proc/self/status", "VmRSS:"));
	static const char *const wrong[] = { "0", "6", "-1", "x", "", "1x", "0x1", "99999999999", "+1" };
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char name[32];
		snprintf(name, sizeof(name), "'%s'", wrong[i]);
		show(name, clear(wrong[i]));
	}
	show("reading it", open("/proc/self/clear_refs", O_RDONLY) < 0 ? -1 : read(open("/proc/self/clear_refs", O_RDONLY), (char[8]){ 0 }, 8));
}

static char data[3 * PAGE] __attribute__((aligned(4096))) = "in another process";

static void memory(void)
{
	char *readonly = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *untouched = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int go[2];
	char path[40], text[32] = "", c = 0;
	if (pipe(go))
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		printf("the child has: %s, %s, %s\n", data, readonly, untouched + PAGE);
		fflush(stdout);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	int mem = open(path, O_RDWR);
	show("read", pread(mem, text, 19, (off_t)data));
	printf("%s\n", text);
	show("write", pwrite(mem, "written from outside", 21, (off_t)data));
	printf("the parent has: %s\n", data);
	show("read-only memory", pwrite(mem, "forced", 7, (off_t)readonly));
	show("read-only shared memory", pwrite(mem, "forced", 7, (off_t)shared));
	show("reading it", pread(mem, text, 8, (off_t)shared));
	show("untouched memory", pwrite(mem, "new", 4, (off_t)(untouched + PAGE)));
	show("nothing there", pread(mem, text, 8, 4096));
	show("the last bytes", pread(mem, text, 8, (off_t)(data + 3 * PAGE - 4)) > 0);
	show("no length", pread(mem, text, 0, 4096));
	show("a negative place", pread(mem, text, 8, -4096));
	show("seek", lseek(mem, (off_t)data, SEEK_SET) == (off_t)data);
	show("read there", read(mem, text, 7));
	show("seek to the end", lseek(mem, 0, SEEK_END));
	if (write(go[1], &c, 1) != 1)
		return;
	printf("the end: %d\n", ended(child));
	show("read after the end", pread(mem, text, 8, (off_t)data));
	show("write after the end", pwrite(mem, text, 8, (off_t)data));
	show("open after the end", open(path, O_RDONLY));
}

int main(void)
{
	bits();
	memory();
	return 0;
}
