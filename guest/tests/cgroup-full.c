/* A memory cgroup that is full and has nobody to be killed: what system calls answer that would have to charge more pages or page tables.
 * (On Linux those that make VMAs and open files fail as well: it charges the kernel's own objects.) */
#include "cgroup.h"
#include <sys/random.h>
#include <sys/uio.h>

static struct {
	const char *name;
	long value;
	int error;
} *results;
static int count;

#define note(what, call) (errno = 0, results[count].value = (long)(call), results[count].error = errno, results[count++].name = (what))

static char filler[64 * KIB];

static long fill(int fd)
{
	for (size_t size = sizeof(filler); size >= PAGE; size /= 2)
		while (write(fd, filler, size) == (ssize_t)size)
			;
	return write(fd, filler, PAGE);
}

static long child(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid > 0 ? 0 : -1;
}

static void exempt(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	write(fd, "-1000", 5);
	close(fd);
}

int main(void)
{
	mount_groups();
	cg_write("", "cgroup.subtree_control", "+memory");
	cg_make("f");
	results = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(results, 0, PAGE);
	pid_t pid = fork();
	if (pid == 0) {
		/* Everything that it will touch is there before the group is full. */
		char *untouched = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *shared = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		madvise(untouched, 64 * PAGE, MADV_NOHUGEPAGE);
		untouched[0] = shared[0] = 1;
		memset(filler, 1, sizeof(filler));
		int fd = memfd_create("x", 0), other = memfd_create("y", 0);
		ftruncate(other, 64 * PAGE);
		cg_write("f", "cgroup.procs", "0");
		exempt();
		note("memory.max", cg_write("f", "memory.max", "4M"));
		note("write until it is full", fill(fd));
		note("write more", write(fd, filler, PAGE));
		lseek(fd, 0, SEEK_SET);
		note("read into a page that is there", read(fd, untouched, PAGE));
		note("read into one that is not", read(fd, untouched + 8 * PAGE, PAGE));
		note("getrandom", getrandom(untouched + 9 * PAGE, 100, 0));
		note("read into a shared one", read(fd, shared + 8 * PAGE, PAGE));
		note("pread into one and another", pread(fd, untouched, 16 * PAGE, 0));
		note("fallocate", fallocate(other, 0, 0, 32 * PAGE));
		note("pwrite to a hole", pwrite(other, filler, PAGE, 5 * PAGE));
		note("pread from a hole", pread(other, filler, PAGE, 6 * PAGE));
		note("POPULATE_WRITE", madvise(untouched + 16 * PAGE, 8 * PAGE, MADV_POPULATE_WRITE));
		note("POPULATE_READ", madvise(untouched + 16 * PAGE, 8 * PAGE, MADV_POPULATE_READ));
		note("fork", child());
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	printf("%s\n", status_text(status));
	for (int i = 0; results[i].name; i++) {
		errno = results[i].error;
		show_value(results[i].name, results[i].value);
	}
	printf("kills: %ld, oom: %d\n", cg_key("f", "memory.events", "oom_kill"), cg_key("f", "memory.events", "oom") > 0);
	return 0;
}
