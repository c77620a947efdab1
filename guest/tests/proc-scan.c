/* proc-scan.c: PAGEMAP_SCAN, /proc/net/unix, /proc/self/syscall, /proc/self/io. */
#include "check.h"
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ARENA ((char *)0x2000000000UL)

struct scan { uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, returned; };
struct range { uint64_t start, end, categories; };
enum { WPALLOWED = 1, WRITTEN = 2, FROM_FILE = 4, PRESENT = 8, SWAPPED = 16, PFNZERO = 32, HUGE = 64, SOFT_DIRTY = 128 };
#define SCAN _IOWR('f', 16, struct scan)

static int map;
static struct range found[64];

static void show_scan(const char *what, struct scan s)
{
	s.size = s.size ? s.size : sizeof s;
	s.start = s.start ? s.start : (uint64_t)ARENA;
	s.end = s.end ? s.end : (uint64_t)ARENA + 64 * PAGE;
	s.walk_end = 12345;
	errno = 0;
	memset(found, 0, sizeof found);
	int n = ioctl(map, SCAN, &s);
	if (n < 0) {
		printf("%s: %s\n", what, error_name(errno));
		return;
	}
	printf("%s: %d, walked to %ld\n", what, n, s.walk_end == 12345 ? -1 : (long)(s.walk_end - (uint64_t)ARENA) / (long)PAGE);
	for (int i = 0; i < n; i++)
		printf("  %ld-%ld %lx\n", (long)(found[i].start - (uint64_t)ARENA) / (long)PAGE, (long)(found[i].end - (uint64_t)ARENA) / (long)PAGE, (long)found[i].categories);
}

static void scanning(void)
{
	char *a = ARENA;
	int fd = memfd_create("file", 0);
	ftruncate(fd, 4 * PAGE);
	mmap(a, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(a + 40 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	madvise(a, 32 * PAGE, MADV_NOHUGEPAGE);
	a[0] = a[PAGE] = a[2 * PAGE] = a[7 * PAGE] = 1;
	(void)*(volatile char *)(a + 3 * PAGE);
	a[40 * PAGE] = 1;
	map = open("/proc/self/pagemap", O_RDONLY);
	uint64_t v = (uint64_t)found;
	show_scan("present", (struct scan){ .vec = v, .vec_len = 64, .mask = PRESENT, .returned = 255 });
	show_scan("present, only that returned", (struct scan){ .vec = v, .vec_len = 64, .mask = PRESENT, .returned = PRESENT });
	show_scan("written", (struct scan){ .vec = v, .vec_len = 64, .mask = WRITTEN, .returned = WRITTEN | FROM_FILE });
	show_scan("of files", (struct scan){ .vec = v, .vec_len = 64, .mask = FROM_FILE, .returned = 255 });
	show_scan("not present", (struct scan){ .vec = v, .vec_len = 64, .inverted = PRESENT, .mask = PRESENT, .returned = 255 });
	show_scan("zero page or file", (struct scan){ .vec = v, .vec_len = 64, .anyof = PFNZERO | FROM_FILE, .returned = 255 });
	show_scan("all", (struct scan){ .vec = v, .vec_len = 64, .returned = PRESENT });
	show_scan("two ranges", (struct scan){ .vec = v, .vec_len = 2, .mask = PRESENT, .returned = 255 });
	show_scan("three pages", (struct scan){ .vec = v, .vec_len = 64, .max_pages = 2, .mask = PRESENT, .returned = PRESENT });
	show_scan("without a vector", (struct scan){ .mask = PRESENT, .returned = PRESENT });
	show_scan("from the middle", (struct scan){ .vec = v, .vec_len = 64, .start = (uint64_t)a + 2 * PAGE, .end = (uint64_t)a + 41 * PAGE, .mask = PRESENT, .returned = PRESENT });
	show_scan("wrong size", (struct scan){ .size = 95, .returned = PRESENT });
	show_scan("wrong flags", (struct scan){ .flags = 4, .returned = PRESENT });
	show_scan("wrong categories", (struct scan){ .mask = 256, .returned = PRESENT });
	show_scan("odd start", (struct scan){ .start = 5, .returned = PRESENT });
	show_scan("end before start", (struct scan){ .start = (uint64_t)a + PAGE, .end = (uint64_t)a, .returned = PRESENT });
	show_scan("a length without a vector", (struct scan){ .vec_len = 2, .returned = PRESENT });
	show_scan("write-protected", (struct scan){ .vec = v, .vec_len = 64, .flags = 2, .mask = PRESENT, .returned = PRESENT });
	show_scan("that can be protected", (struct scan){ .vec = v, .vec_len = 64, .mask = WPALLOWED, .returned = PRESENT });
	show("another ioctl", ioctl(map, 0x5401, found));
	close(map);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Our lines, sorted: their order is by hash. */
static void show_unix(void)
{
	char line[256];
	static char lines[8][256];
	int n = 0;
	FILE *f = fopen("/proc/net/unix", "r");
	while (fgets(line, sizeof line, f)) {
		unsigned long inode;
		char name[128] = "";
		unsigned refs, protocol, flags, type, state;
		if (sscanf(line, "%*x: %x %x %x %x %x %lu %127s", &refs, &protocol, &flags, &type, &state, &inode, name) < 6)
			printf("%s", line);
		else if (strstr(name, "proc-scan"))
			snprintf(lines[n++], 256, "%u %u %x type %u state %u %s %s\n", refs, protocol, flags, type, state, inode ? "inode" : "0", name);
	}
	fclose(f);
	qsort(lines, n, 256, by_text);
	for (int i = 0; i < n; i++)
		printf("%s", lines[i]);
}

int main(void)
{
	scanning();
	struct sockaddr_un a = { AF_UNIX, "/tmp/proc-scan" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_DGRAM, 0);
	bind(s, (struct sockaddr *)&a, sizeof a);
	show_unix();
	listen(s, 3);
	connect(c, (struct sockaddr *)&a, sizeof a);
	memcpy(a.sun_path, "\0proc-scan", 10);
	bind(d, (struct sockaddr *)&a, 2 + 10);
	show_unix();
	int accepted = accept(s, NULL, NULL);
	show_unix();
	close(s), close(c), close(d), close(accepted);
	show_unix();
	unlink("/tmp/proc-scan");

	char text[512] = "";
	int fd = open("/proc/self/syscall", O_RDONLY);
	long n = read(fd, text, sizeof text - 1);
	unsigned long v[9];
	int parts = sscanf(text, "%lu 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8);
	printf("%d numbers: call %lu %s %s %ld\n", parts, v[0], v[1] == (unsigned long)fd ? "fd" : "?", v[2] == (unsigned long)text ? "buffer" : "?", (long)v[3]);
	printf("%s\n", v[7] < (unsigned long)&text[512] && v[7] > (unsigned long)text - 4096 ? "stack" : "?");
	(void)n;
	close(fd);
	long before = proc_number("/proc/self/io", "rchar:"), calls = proc_number("/proc/self/io", "syscw:");
	fd = open("/dev/zero", O_RDWR);
	read(fd, text, 100);
	write(fd, text, 50);
	close(fd);
	show("rchar grows by what was read", proc_number("/proc/self/io", "rchar:") - before >= 100);
	show("one more write", proc_number("/proc/self/io", "syscw:") - calls);
	show("rchar after a failed read", (before = proc_number("/proc/self/io", "syscr:"), read(-1, text, 1), proc_number("/proc/self/io", "syscr:") - before));
	return 0;
}
