/* abi-walkers.c: who looks into a window from outside, or from the kernel: ptrace, /proc/PID/mem, process_vm_*, futexes, vmsplice, core files, clear_refs.
 * None of them needs the page to have been touched through the window before (REFERENCE.md, "Kernel access and walkers", has them fail there). */
#include "region.h"
#include "core.h"
#include "tracer.h"
#include <linux/futex.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SIZE (8 * GRANULE)
/* What is where in the region of the tests. */
#define PRESENT (GRANULE + 3 * PAGE)  /* touched by the parent only */
#define ABSENT (2 * GRANULE + 5 * PAGE) /* touched by nobody */
#define READONLY (4 * GRANULE)	      /* PROT_READ */
#define HOLE (6 * GRANULE)	      /* no object */

static int fd;
static char *ours, *theirs;

/* A process with a window that it has not touched, at an address of its own, which waits until it is killed. `flags`: of the attach. */
static pid_t sharer(unsigned flags)
{
	int ready[2];
	if (pipe(ready))
		exit(1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		mshare_detach(ours);
		char *at = mshare_attach(fd, 0, 0, (char *)0x5000000000UL, flags | MSHARE_FIXED);
		if (write(ready[1], &at, sizeof(at)) != sizeof(at))
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &theirs, sizeof(theirs)) != sizeof(theirs))
		exit(1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void make_region(void)
{
	fd = region(SIZE);
	map_anon(fd, 0, READONLY, RW);
	map_anon(fd, READONLY, GRANULE, PROT_READ);
	ours = window_on(fd);
	strcpy(ours + PRESENT, "present");
}

static void drop_region(void)
{
	mshare_detach(ours);
	close(fd);
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	ended(pid);
}

static void with_ptrace(void)
{
	long value = 0;
	make_region();
	pid_t pid = sharer(0);
	expect_is(request(PTRACE_ATTACH, pid, 0, 0), 0, "attach to a process with a window");
	waitpid(pid, NULL, 0);
	expect_is(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + PRESENT, (unsigned long)&value), 0, "peek at a page that the region has");
	expect(!memcmp(&value, "present", 8), "it has what the other process wrote");
	expect_is(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + ABSENT, (unsigned long)&value), 0, "peek at a page that nobody has touched");
	expect_is(value, 0, "it is zero");
	expect_is(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + ABSENT + 8, 77), 0, "poke into it");
	expect_is(*(long *)(ours + ABSENT + 8), 77, "everybody sees that");
	expect_is(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + PRESENT + PAGE - 4, 0x1122334455667788), 0, "poke across two pages");
	expect_is(*(int *)(ours + PRESENT + PAGE), 0x11223344, "the second half");
	expect_is(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + READONLY, (unsigned long)&value), 0, "peek at memory that is read-only in the region");
	expect_error(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + READONLY, 1), EIO, "poke there");
	expect_error(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + HOLE, (unsigned long)&value), EIO, "peek where the region has nothing");
	expect_error(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + HOLE, 1), EIO, "poke there");
	finish(pid);

	pid = sharer(MSHARE_RDONLY);
	request(PTRACE_ATTACH, pid, 0, 0);
	waitpid(pid, NULL, 0);
	expect_is(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + PRESENT, (unsigned long)&value), 0, "peek through a read-only window");
	expect(!memcmp(&value, "present", 8), "it has what the other process wrote");
	expect_error(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + PRESENT, 1), EIO, "poke through it");
	finish(pid);

	pid = sharer(MSHARE_PRIVATE);
	request(PTRACE_ATTACH, pid, 0, 0);
	waitpid(pid, NULL, 0);
	expect_is(request(PTRACE_POKEDATA, pid, (unsigned long)theirs + PRESENT, 1), 0, "poke through a private window");
	expect_is(request(PTRACE_PEEKDATA, pid, (unsigned long)theirs + PRESENT, (unsigned long)&value), 0, "peek there");
	expect_is(value, 1, "the tracee has it");
	expect_text(ours + PRESENT, "present", "the region does not");
	finish(pid);
	drop_region();
}

#ifdef __riscv
/* A breakpoint in code that is in a region: all who run it meet it. */
static void breakpoint(void)
{
	/* li a0, 42; ret */
	unsigned code[] = { 0x02a00513, 0x00008067 };
	long old;
	fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW | PROT_EXEC);
	ours = window_on(fd);
	memcpy(ours, code, sizeof(code));
	__asm__ volatile("fence.i" ::: "memory");
	int (*volatile function)(void) = (int (*)(void))ours;
	expect_is(function(), 42, "code in a region runs");
	pid_t pid = traced_child({
		int sum = 0;
		for (int i = 0; i < 30000; i++)
			sum += function();
		raise(SIGUSR1);
		_exit(sum == 42 * 30000 ? function() : 0);
	});
	continue_with(pid, 0);
	int status;
	waitpid(pid, &status, 0);
	expect(WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1, "the tracee has run it often");
	request(PTRACE_PEEKTEXT, pid, (unsigned long)ours, (unsigned long)&old);
	expect_is(request(PTRACE_POKETEXT, pid, (unsigned long)ours, (old & ~0xffffffffL) | 0x00100073), 0, "a breakpoint");
	continue_with(pid, 0);
	waitpid(pid, &status, 0);
	expect(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "it is met");
	expect(registers_of(pid).pc == (unsigned long)ours, "at its address");
	request(PTRACE_POKETEXT, pid, (unsigned long)ours, (unsigned long)old);
	continue_with(pid, 0);
	waitpid(pid, &status, 0);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 42, "without it the program goes on");
	drop_region();
}
#endif

static void with_proc_mem(void)
{
	char path[40], text[16] = "";
	make_region();
	pid_t pid = sharer(0);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int mem = open(path, O_RDWR);
	expect_is(pread(mem, text, 8, (off_t)(theirs + PRESENT)), 8, "/proc/PID/mem: a page that the region has");
	expect_text(text, "present", "it has what the other process wrote");
	expect_is(pread(mem, text, 8, (off_t)(theirs + ABSENT)), 8, "one that nobody has touched");
	expect_is(pwrite(mem, "written", 8, (off_t)(theirs + ABSENT)), 8, "writing it");
	expect_text(ours + ABSENT, "written", "everybody sees that");
	expect_is(pread(mem, text, 8, (off_t)(theirs + READONLY)), 8, "read-only memory");
	expect_error(pwrite(mem, text, 8, (off_t)(theirs + READONLY)), EIO, "writing there");
	expect_error(pread(mem, text, 8, (off_t)(theirs + HOLE)), EIO, "where the region has nothing");
	char *pages = malloc(2 * PAGE);
	expect_is(pread(mem, pages, 2 * PAGE, (off_t)(theirs + READONLY + GRANULE - PAGE)), PAGE, "up to where it ends");
	free(pages);
	close(mem);
	finish(pid);
	pid = sharer(MSHARE_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	expect_is(pread(mem, text, 8, (off_t)(theirs + PRESENT)), 8, "a read-only window");
	expect_error(pwrite(mem, text, 8, (off_t)(theirs + PRESENT)), EIO, "writing there");
	close(mem);
	finish(pid);
	drop_region();
}

static void with_process_vm(void)
{
	char text[16] = "";
	make_region();
	pid_t pid = sharer(0);
	struct iovec here = { text, 8 }, there = { theirs + PRESENT, 8 };
	expect_is(process_vm_readv(pid, &here, 1, &there, 1, 0), 8, "process_vm_readv of a page that the region has");
	expect_text(text, "present", "it has what the other process wrote");
	there.iov_base = theirs + ABSENT;
	expect_is(process_vm_readv(pid, &here, 1, &there, 1, 0), 8, "of one that nobody has touched");
	strcpy(text, "written");
	expect_is(process_vm_writev(pid, &here, 1, &there, 1, 0), 8, "process_vm_writev");
	expect_text(ours + ABSENT, "written", "everybody sees that");
	there.iov_base = theirs + READONLY;
	expect_is(process_vm_readv(pid, &here, 1, &there, 1, 0), 8, "of read-only memory");
	expect_error(process_vm_writev(pid, &here, 1, &there, 1, 0), EFAULT, "writing there");
	there.iov_base = theirs + HOLE;
	expect_error(process_vm_readv(pid, &here, 1, &there, 1, 0), EFAULT, "where the region has nothing");
	/* The caller's own buffer in a window that it has not touched. */
	char *second = window_on(fd);
	here.iov_base = second + 3 * GRANULE;
	there.iov_base = theirs + PRESENT;
	expect_is(process_vm_readv(pid, &here, 1, &there, 1, 0), 8, "into an untouched window of the caller's");
	expect_text(ours + 3 * GRANULE, "present", "it arrives");
	mshare_detach(second);
	finish(pid);
	drop_region();
}

static long futex(int *word, int op, int value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void futexes(void)
{
	make_region();
	int *word = (int *)(ours + ABSENT);
	expect_is(futex(word, FUTEX_WAKE, 1), 0, "FUTEX_WAKE on a page that nobody has touched");
	expect_error(futex(word + 1, FUTEX_WAIT, 1), EAGAIN, "FUTEX_WAIT there");
	int ready[2];
	char c = 0;
	if (pipe(ready))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		mshare_detach(ours);
		char *at = mshare_attach(fd, 0, 0, (char *)0x5000000000UL, MSHARE_FIXED);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		/* Its first use of the window. */
		_exit(futex((int *)(at + PRESENT + PAGE), FUTEX_WAIT, 0) == 0 ? 5 : 1);
	}
	if (read(ready[0], &c, 1) != 1)
		return;
	until_asleep(pid);
	expect_is(futex((int *)(ours + PRESENT + PAGE), FUTEX_WAKE, 1), 1, "waking one who waits in an untouched window, at another address");
	expect_is(WEXITSTATUS(ended(pid)), 5, "it wakes");
	close(ready[0]);
	close(ready[1]);
	drop_region();
}

static void buffers(void)
{
	char text[32] = "";
	int pipes[2], sockets[2];
	make_region();
	char *untouched = window_on(fd);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
		return;
	struct iovec iov = { untouched + PRESENT, 8 };
	expect_is(vmsplice(pipes[1], &iov, 1, 0), 8, "vmsplice from an untouched window");
	expect_is(read(pipes[0], text, 8), 8, "reading it");
	expect_text(text, "present", "it is what is there");
	mshare_detach(untouched);
	untouched = window_on(fd);
	iov.iov_base = untouched + PRESENT;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	expect_is(sendmsg(sockets[0], &message, 0), 8, "sendmsg");
	iov.iov_base = untouched + ABSENT;
	expect_is(recvmsg(sockets[1], &message, 0), 8, "recvmsg");
	expect_text(ours + ABSENT, "present", "it arrives");
	mshare_detach(untouched);
	untouched = window_on(fd);
	struct iovec two[2] = { { untouched + PRESENT, 4 }, { untouched + PRESENT + 4, 4 } };
	expect_is(writev(pipes[1], two, 2), 8, "writev");
	two[0].iov_base = untouched + 3 * GRANULE + PAGE;
	two[1].iov_base = untouched + 3 * GRANULE + 2 * PAGE;
	expect_is(readv(pipes[0], two, 2), 8, "readv");
	expect_text(ours + 3 * GRANULE + 2 * PAGE, "ent", "it arrives");
	for (int i = 0; i < 2; i++)
		close(pipes[i]), close(sockets[i]);
	mshare_detach(untouched);
	drop_region();
}

/* Crashes in a child with an untouched window and looks at the file. */
static int dumped(const char *filter, unsigned flags)
{
	int status = in_child({
		write_text("/proc/self/coredump_filter", filter);
		mshare_detach(ours);
		char *at = mshare_attach(fd, 0, 0, (char *)0x5000000000UL, flags | MSHARE_FIXED);
		if (flags & MSHARE_PRIVATE)
			strcpy(at + ABSENT, "a copy");
		abort();
	});
	return WCOREDUMP(status) && load_core("core");
}

static void core_files(void)
{
	char *at = (char *)0x5000000000UL;
	if (chdir("/tmp"))
		return;
	limit_core(RLIM_INFINITY);
	make_region();
	expect(dumped("0x33", 0), "a core file of a process with an untouched window");
	expect(in_core(at + PRESENT) && !strcmp(in_core(at + PRESENT), "present"), "has the region's memory");
	expect(in_core(at + ABSENT) && *(char *)in_core(at + ABSENT) == 0, "zeros where nobody has been");
	expect_is(segment_of(at)->p_filesz, SIZE, "all of the window");
	expect_is(segment_of(at)->p_flags, PF_R | PF_W, "with its rights");
	unsigned size;
	unsigned long *files = note_of(NT_FILE, 0, &size);
	char *names = (char *)(files + 2 + 3 * files[0]);
	unsigned long which = files[0];
	for (unsigned long i = 0; i < files[0]; i++, names += strlen(names) + 1)
		if (!strncmp(names, "/mshare:", 8))
			which = i;
	expect(which < files[0] && files[2 + 3 * which] == (unsigned long)at, "NT_FILE names it");
	struct stat st;
	stat("core", &st);
	expect((unsigned long)st.st_size >= SIZE && st.st_blocks * 512 < (long)MIB, "untouched memory is a hole in the file");
	drop_core();
	expect_is(stat_of(fd).resident, PAGE, "and is untouched still");
	expect(dumped("0x31", 0), "without the bit for shared anonymous memory");
	expect(segment_of(at) && !segment_of(at)->p_filesz, "it is left out");
	drop_core();
	expect(dumped("0x39", 0), "with the bit for shared files");
	expect(segment_of(at) && !segment_of(at)->p_filesz, "it is left out");
	drop_core();
	expect(dumped("0x2", MSHARE_RDONLY), "a read-only window");
	expect(in_core(at + PRESENT) && !strcmp(in_core(at + PRESENT), "present"), "is there");
	expect_is(segment_of(at)->p_flags, PF_R, "with its rights");
	drop_core();
	expect(dumped("0x1", MSHARE_PRIVATE), "a private window");
	expect(in_core(at + PRESENT) && !strcmp(in_core(at + PRESENT), "present"), "has the region's memory");
	expect(in_core(at + ABSENT) && !strcmp(in_core(at + ABSENT), "a copy"), "and the process's copies");
	drop_core();
	expect_is(*(ours + ABSENT), 0, "which the region has not");
	expect_is(mshare_advise(fd, PRESENT, PAGE, MADV_DONTDUMP), 0, "DONTDUMP in the region");
	expect(dumped("0x33", 0) && in_core(at + PRESENT) && !*(char *)in_core(at + PRESENT), "is out of everybody's core files");
	drop_core();
	expect(dumped("0x33", MSHARE_PRIVATE) && in_core(at + PRESENT) && !*(char *)in_core(at + PRESENT), "of private windows too");
	expect(in_core(at + ABSENT) && !strcmp(in_core(at + ABSENT), "a copy"), "and nothing else is");
	drop_core();
	expect_is(mshare_advise(fd, PRESENT, PAGE, MADV_DODUMP), 0, "DODUMP");
	expect(dumped("0x33", 0) && in_core(at + PRESENT) && !strcmp(in_core(at + PRESENT), "present"), "takes it back");
	drop_core();
	expect_is(madvise(ours, SIZE, MADV_DONTDUMP), 0, "MADV_DONTDUMP on a whole window");
	int status = in_child(abort());
	expect(WCOREDUMP(status) && load_core("core") && segment_of(ours) && !segment_of(ours)->p_filesz, "leaves it out");
	drop_core();
	drop_region();
	/* A file of the v3 interface has a name: a shared file. */
	mkdir("/tmp/m", 0755);
	if (mount("msharefs", "/tmp/m", "msharefs", 0, NULL)) {
		expect(0, "mount");
		return;
	}
	fd = open("/tmp/m/region", O_CREAT | O_RDWR, 0600);
	expect_is(ftruncate(fd, 512 * (long)GIB), 0, "a named region");
	map_anon(fd, 300 * GIB, 4 * PAGE, RW);
	char *window = mmap(NULL, 512 * GIB, RW, MAP_SHARED, fd, 0);
	expect(window != MAP_FAILED, "its window");
	strcpy(window + 300 * GIB + PAGE, "named");
	write_text("/proc/self/coredump_filter", "0x8");
	status = in_child(abort());
	expect(WCOREDUMP(status), "a core file");
	stat("core", &st);
	expect(st.st_size >= 512 * (long)GIB && st.st_blocks * 512 < (long)MIB, "of 512 GiB, nearly all of it a hole");
	int core_fd = open("core", O_RDONLY);
	long data = lseek(core_fd, 2 * (long)MIB, SEEK_DATA);
	char text[8] = "";
	for (; data > 0; data = lseek(core_fd, data + (long)PAGE, SEEK_DATA))
		if (pread(core_fd, text, 6, data) == 6 && !strcmp(text, "named"))
			break;
	expect_text(text, "named", "with what the region has");
	close(core_fd);
	munmap(window, 512 * GIB);
	close(fd);
	unlink("/tmp/m/region");
	expect_is(umount("/tmp/m"), 0, "umount");
	unlink("core");
}

/* Referenced of the VMA at that address, in kilobytes. */
static long referenced(char *at)
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

static void references(void)
{
	make_region();
	for (int i = 0; i < 10; i++)
		ours[i * PAGE] = 1;
	expect_is(referenced(ours), 44, "Referenced of a window");
	expect_is(write_text("/proc/self/clear_refs", "2"), 0, "clear_refs of private memory");
	expect_is(referenced(ours), 44, "is not about windows");
	expect_is(write_text("/proc/self/clear_refs", "3"), 0, "of mappings");
	expect_is(referenced(ours), 0, "is");
	(void)*(volatile char *)(ours + PAGE);
	ours[2 * PAGE] = 2;
	expect_is(referenced(ours), 8, "what is used afterwards counts");
	expect_is(write_text("/proc/self/clear_refs", "1"), 0, "of all");
	expect_is(referenced(ours), 0, "too");
	expect_in_child(
		mshare_detach(ours);
		char *at = mshare_attach(fd, 0, 0, NULL, MSHARE_RDONLY);
		expect_is(referenced(at), 0, "a read-only window");
		(void)*(volatile char *)(at + 3 * PAGE);
		expect(referenced(at) >= 4, "what is read through it counts"));
	drop_region();
}

int main(void)
{
	with_ptrace();
#ifdef __riscv
	breakpoint();
#endif
	with_proc_mem();
	with_process_vm();
	futexes();
	buffers();
	core_files();
	references();
	return failures != 0;
}
