/* coredump.c: core files: when there is one, what it is called, what is in it. */
#include "core.h"
#include <pthread.h>
#include <sys/prctl.h>

static int crash(int signal)
{
	int status = in_child(raise(signal));
	printf("%s%s\n", sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? ", dumped" : "");
	return status;
}

static void exists(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		printf("%s: %s\n", path, error_name(errno));
	else
		printf("%s: mode %o%s\n", path, st.st_mode, st.st_size % PAGE ? ", odd size" : "");
	unlink(path);
}

static void whether(void)
{
	printf("limit 0: "), crash(SIGSEGV);
	exists("core");
	limit_core(4095);
	printf("limit 4095: "), crash(SIGSEGV);
	exists("core");
	limit_core(4096);
	printf("limit 4096: "), crash(SIGSEGV);
	struct stat st;
	printf("small: %d\n", stat("core", &st) == 0 && st.st_size <= 4096);
	unlink("core");
	limit_core(16384);
	printf("limit 16384: "), crash(SIGSEGV);
	printf("small: %d\n", stat("core", &st) == 0 && st.st_size > 4096 && st.st_blocks * 512 <= 16384);
	unlink("core");
	limit_core(RLIM_INFINITY);
	const int signals[] = { SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGXCPU, SIGXFSZ, SIGTERM, SIGKILL, SIGUSR1, SIGRTMIN };
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		int status = in_child(raise(signals[i]));
		printf("signal %d: killed by %d%s\n", signals[i], WTERMSIG(status), WCOREDUMP(status) ? ", dumped" : "");
	}
	exists("core");
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	pid_t child = fork();
	if (child == 0)
		abort();
	waitid(P_PID, (id_t)child, &info, WEXITED);
	printf("waitid: code %d status %d\n", info.si_code, info.si_status);
	int status = in_child(prctl(PR_SET_DUMPABLE, 0); raise(SIGSEGV));
	printf("not dumpable: %s\n", WCOREDUMP(status) ? "dumped" : "no");
	unlink("core");
	/* An old file is replaced, a link is not followed, a directory is not written to. */
	int fd = open("other", O_CREAT | O_RDWR, 0644);
	show("link", symlink("other", "core"));
	printf("over a link: "), crash(SIGSEGV);
	printf("size of its target %ld\n", (long)lseek(fd, 0, SEEK_END));
	exists("core");
	show("mkdir", mkdir("core", 0755));
	printf("over a directory: "), crash(SIGSEGV);
	rmdir("core");
	fd = open("core", O_CREAT | O_RDWR, 0644);
	printf("over a file: "), crash(SIGSEGV);
	printf("the old one has size %ld\n", (long)lseek(fd, 0, SEEK_END));
	exists("core");
	umask(0777);
	printf("umask 0777: "), crash(SIGSEGV);
	exists("core");
	umask(022);
	mkdir("closed", 0755);
	if (chdir("closed"))
		return;
	status = in_child(
		if (setgid(1000) || setuid(1000))
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1);
		raise(SIGSEGV));
	printf("in a directory that is not one's own: %s\n", WCOREDUMP(status) ? "dumped" : "no");
	if (chdir("/tmp"))
		return;
}

static void names(void)
{
#define PATTERN "/proc/sys/kernel/core_pattern"
	char name[100], text[300];
	prctl(PR_SET_NAME, "a/name");
	show("pattern", write_text(PATTERN, "/tmp/%%-%e-%s-%u-%g-%q-%d\n"));
	crash(SIGSEGV);
	exists("/tmp/%-a!name-11-0-0--1");
	show("pattern", write_text(PATTERN, "c.%p%"));
	pid_t child = fork();
	if (child == 0)
		abort();
	ended(child);
	snprintf(name, sizeof(name), "c.%d", child);
	printf("with the pid: %d\n", access(name, F_OK));
	unlink(name);
	show("pattern", write_text(PATTERN, "core-%f"));
	show("uses_pid", write_text("/proc/sys/kernel/core_uses_pid", "1\n"));
	child = fork();
	if (child == 0)
		abort();
	ended(child);
	snprintf(name, sizeof(name), "core-coredump.%d", child);
	printf("with the pid appended: %d\n", access(name, F_OK));
	unlink(name);
	show("pattern", write_text(PATTERN, "%P-%i"));
	child = fork();
	if (child == 0)
		abort();
	ended(child);
	snprintf(name, sizeof(name), "%d-%d.%d", child, child, child);
	printf("with the global pid: %d\n", access(name, F_OK));
	unlink(name);
	show("uses_pid", write_text("/proc/sys/kernel/core_uses_pid", "0\n"));
	show("pattern", write_text(PATTERN, "/no/such/directory/core"));
	crash(SIGSEGV);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	show("a long pattern", write_text(PATTERN, text));
	int fd = open(PATTERN, O_RDONLY);
	printf("reads %zd bytes\n", read(fd, text, sizeof(text)));
	close(fd);
	show("pattern", write_text(PATTERN, "core\n"));
	prctl(PR_SET_NAME, "coredump");
}

static volatile int word = 4711;
static const char constant[] = "a constant in read-only data";
static char *privately, *shared, *secret, *untouched, *file_shared, *file_private, *file_written, *none;

static void make_memory(void)
{
	privately = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(privately + 3 * PAGE, "private");
	shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(shared + PAGE, "shared");
	secret = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(secret, "secret");
	untouched = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	none = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(none, "hidden");
	mprotect(none, 2 * PAGE, PROT_NONE);
	int fd = open("/tmp/file", O_CREAT | O_RDWR | O_TRUNC, 0644);
	if (ftruncate(fd, 4 * PAGE) || pwrite(fd, "file", 5, PAGE) != 5)
		exit(1);
	file_shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	file_private = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	file_written = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	strcpy(file_written, "written");
	close(fd);
}

static void show_in_core(const char *name, const char *address)
{
	char *found = in_core(address);
	Elf64_Phdr *p = segment_of(address);
	printf("  %s: %s", name, found ? *found ? found : "zeros" : "not there");
	if (p)
		printf(", %ld of %ld pages, flags %x, align %lx\n", (long)(p->p_filesz / PAGE), (long)(p->p_memsz / PAGE), p->p_flags, (unsigned long)p->p_align);
	else
		printf(", no segment\n");
}

static void memory(void)
{
	static const char *const filters[] = { "0x33", "0x0", "1", "2", "4", "8", "0x10", "0x1ff" };
	make_memory();
	show("DONTDUMP", madvise(secret, 4 * PAGE, MADV_DONTDUMP));
	for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		show("filter", write_text("/proc/self/coredump_filter", filters[i]));
		printf("%s: ", filters[i]), crash(SIGSEGV);
		if (!load_core("core"))
			return;
		show_in_core("private", privately + 3 * PAGE);
		show_in_core("shared", shared + PAGE);
		show_in_core("DONTDUMP", secret);
		show_in_core("untouched", untouched + PAGE);
		show_in_core("PROT_NONE", none);
		show_in_core("shared file", file_shared + PAGE);
		show_in_core("private file", file_private + PAGE);
		show_in_core("private file, written", file_written);
		show_in_core("beside it", file_written + PAGE);
		show_in_core("read-only data", constant);
		printf("  word %d\n", in_core(&word) ? *(int *)in_core(&word) : 0);
		drop_core();
		unlink("core");
	}
	show("DODUMP", madvise(secret, 4 * PAGE, MADV_DODUMP));
	show("filter", write_text("/proc/self/coredump_filter", "0x33"));
	crash(SIGSEGV);
	if (load_core("core"))
		show_in_core("DODUMP", secret);
	drop_core();
	unlink("core");
	show("a bad filter", write_text("/proc/self/coredump_filter", "x"));
	show("a negative one", write_text("/proc/self/coredump_filter", "-1"));
	show("a large one", write_text("/proc/self/coredump_filter", "0xffffffff"));
	char text[20] = { 0 };
	int fd = open("/proc/self/coredump_filter", O_RDONLY);
	if (read(fd, text, sizeof(text)) > 0)
		printf("reads %s", text);
	close(fd);
	show("filter", write_text("/proc/self/coredump_filter", "0x33"));
}

static volatile int thread_ready;
static void *waiting_thread(void *arg)
{
	__atomic_add_fetch(&thread_ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return arg;
}

static volatile unsigned long fault_at = 0x123450;

static void notes(void)
{
	pid_t child = fork();
	if (child == 0) {
		pthread_t t;
		prctl(PR_SET_NAME, "notes");
		for (int i = 0; i < 2; i++)
			pthread_create(&t, NULL, waiting_thread, NULL);
		while (__atomic_load_n(&thread_ready, __ATOMIC_SEQ_CST) < 2)
			usleep(1000);
		usleep(20000);
		/* Registers that can be recognized. */
		register long s5 __asm__("s5") = 0x5555, s6 __asm__("s6") = (long)fault_at;
		__asm__ volatile("li t6, 12321\nfcvt.d.l fs7, %0\n.globl fault\nfault: sd x0, 0(%1)" ::"r"(s5), "r"(s6) : "memory", "t6", "fs7");
		_exit(0);
	}
	ended(child);
	extern char fault[];
	unsigned size;
	if (!load_core("core"))
		return;
	Elf64_Ehdr *e = (Elf64_Ehdr *)core;
	printf("machine %d, version %d, flags %x, phoff %ld, entries of %d bytes, %d sections\n", e->e_machine, e->e_version, e->e_flags, (long)e->e_phoff, e->e_phentsize, e->e_shnum);
	Elf64_Phdr *p = (Elf64_Phdr *)(core + e->e_phoff);
	printf("first header: type %d flags %x align %ld; data at a page: %d\n", p->p_type, p->p_flags, (long)p->p_align, p[1].p_offset % PAGE == 0);
	unsigned char *at = core + p->p_offset, *end = at + p->p_filesz;
	while (at < end) {
		Elf64_Nhdr *n = (Elf64_Nhdr *)at;
		printf("note %.*s type %x", (int)n->n_namesz - 1, at + sizeof(*n), n->n_type);
		if (n->n_type != NT_FILE && n->n_type != NT_AUXV)
			printf(", %d bytes", n->n_descsz);
		printf("\n");
		at += sizeof(*n) + ((n->n_namesz + 3) & ~3U) + ((n->n_descsz + 3) & ~3U);
	}
	struct elf_prstatus *status = note_of(NT_PRSTATUS, 0, &size);
	unsigned long *regs = (unsigned long *)&status->pr_reg;
	printf("signal %d %d code %d, pid %d ppid %d pgrp %d sid %d\n", status->pr_cursig, status->pr_info.si_signo, status->pr_info.si_code, status->pr_pid == child,
	       status->pr_ppid == getpid(), status->pr_pgrp == getpgrp(), status->pr_sid == getsid(0));
	printf("pc %d s5 %lx s6 %lx t6 %ld fpvalid %d\n", regs[0] == (unsigned long)fault, regs[21], regs[22], regs[31], status->pr_fpvalid);
	double *floats = note_of(NT_FPREGSET, 0, &size);
	printf("fs7 %g\n", floats[23]);
	status = note_of(NT_PRSTATUS, 1, &size);
	regs = (unsigned long *)&status->pr_reg;
	unsigned *ecall = in_core((void *)regs[0]);
	printf("another thread: signal %d, call %ld, its pid %s\n", status->pr_cursig, regs[17], status->pr_pid != child ? "is its own" : "?");
	(void)ecall;
	struct elf_prpsinfo *info = note_of(NT_PRPSINFO, 0, &size);
	printf("state %d %c zombie %d nice %d uid %d gid %d pid %d name %s args %s\n", info->pr_state, info->pr_sname, info->pr_zomb, info->pr_nice, info->pr_uid, info->pr_gid,
	       info->pr_pid == child, info->pr_fname, strstr(info->pr_psargs, "coredump") ? "with the name" : info->pr_psargs);
	siginfo_t *si = note_of(NT_SIGINFO, 0, &size);
	printf("siginfo: signo %d code %d addr %p\n", si->si_signo, si->si_code, si->si_addr);
	unsigned long *auxv = note_of(NT_AUXV, 0, &size);
	for (; auxv[0]; auxv += 2)
		if (auxv[0] == AT_PAGESZ || auxv[0] == AT_CLKTCK)
			printf("auxv %ld: %ld\n", auxv[0], auxv[1]);
	unsigned long *files = note_of(NT_FILE, 0, &size), count = files[0];
	char *name = (char *)(files + 2 + 3 * count);
	printf("files: page size %ld\n", files[1]);
	const char *last = "";
	for (unsigned long i = 0; i < count; i++, name += strlen(name) + 1) {
		char *base = strrchr(name, '/');
		if (!strcmp(base, "/coredump")) {
			if (strcmp(last, base))
				printf("  coredump from %lx at page %ld\n", files[2 + 3 * i], files[4 + 3 * i]);
		} else
			printf("  %s at page %ld, %ld pages\n", name, files[4 + 3 * i], (files[3 + 3 * i] - files[2 + 3 * i]) / PAGE);
		last = base;
	}
	drop_core();
	unlink("core");
}

int main(void)
{
	if (chdir("/tmp"))
		return 1;
	whether();
	names();
	memory();
	notes();
	return 0;
}
