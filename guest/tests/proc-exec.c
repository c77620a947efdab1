/* execve: what it refuses and how, scripts, what survives and what is reset, threads, set-user-ID programs, broken ELF files. */
#include "check.h"
#include <elf.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>

extern char **environ;
static char *empty_env[] = { NULL };

static void make_file(const char *path, const void *data, size_t size, int mode)
{
	unlink(path);
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
	write(fd, data, size);
	fchmod(fd, mode);
	close(fd);
}

/* execve in a child: its errno, or how the program ended. */
static void try_exec_env(const char *name, const char *path, char **argv, char **envp)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execve(path, argv, envp);
		int error = errno;
		printf("%s: %s\n", name, error_name(error));
		fflush(stdout);
		_exit(111);
	}
	int status = ended(pid);
	if (WIFSIGNALED(status))
		printf("%s: signal %d\n", name, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 111)
		printf("%s: exit %d\n", name, WEXITSTATUS(status));
}

static void try_exec(const char *name, const char *path)
{
	char *argv[] = { "name", "arg", NULL };
	try_exec_env(name, path, argv, empty_env);
}

static void try_data(const char *name, const void *data, size_t size)
{
	make_file("/tmp/exec/data", data, size, 0755);
	try_exec(name, "/tmp/exec/data");
}

/* The smallest program: exits with 42. */
struct tiny {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	unsigned int code[4];
	char text[64];
};

static struct tiny tiny(void)
{
	struct tiny t = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_RISCV, .e_version = EV_CURRENT, .e_entry = 0x40000000 + offsetof(struct tiny, code),
			.e_phoff = sizeof(Elf64_Ehdr), .e_ehsize = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,
		},
		.segments = { { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x40000000, .p_filesz = sizeof(struct tiny),
				.p_memsz = sizeof(struct tiny), .p_align = 4096 } },
		.code = { 0x02a00513 /* li a0,42 */, 0x05e00893 /* li a7,94 */, 0x00000073 /* ecall */ },
	};
	return t;
}

#define with(name, change)                           \
	do {                                         \
		struct tiny t = tiny();              \
		Elf64_Ehdr *h unused = &t.header;    \
		Elf64_Phdr *p unused = t.segments;   \
		change;                              \
		try_data(name, &t, sizeof(t));       \
	} while (0)

static void interpreter(struct tiny *t, const char *path, size_t length)
{
	t->header.e_phnum = 2;
	t->segments[1] = t->segments[0];
	t->segments[0] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = offsetof(struct tiny, text), .p_filesz = length };
	strcpy(t->text, path);
}

static void headers(void)
{
	with("tiny", );
	with("magic", h->e_ident[0] = 0);
	with("class 32", h->e_ident[EI_CLASS] = ELFCLASS32);
	with("big endian", h->e_ident[EI_DATA] = ELFDATA2MSB);
	with("ident version", h->e_ident[EI_VERSION] = 9);
	with("osabi", h->e_ident[EI_OSABI] = 77);
	with("x86-64", h->e_machine = EM_X86_64);
	with("type REL", h->e_type = ET_REL);
	with("type CORE", h->e_type = ET_CORE);
	with("version", h->e_version = 5);
	with("ehsize", h->e_ehsize = 5);
	with("phentsize", h->e_phentsize = 32);
	with("phnum 0", h->e_phnum = 0);
	with("phnum 74", h->e_phnum = 74);
	with("phoff beyond", h->e_phoff = 100000);
	with("phoff huge", h->e_phoff = ~0UL);
	with("phoff odd", (h->e_phoff = sizeof(Elf64_Ehdr) + 2, memmove((char *)p + 2, p, sizeof(*p))));
	with("entry 0", h->e_entry = 0);
	with("entry huge", h->e_entry = ~0UL);
	with("entry beyond user space", h->e_entry = 1UL << 47);
	with("no load", p->p_type = PT_NOTE);
	with("no load, dyn", (p->p_type = PT_NOTE, h->e_type = ET_DYN));
	with("dyn", (h->e_type = ET_DYN, p->p_vaddr = 0, h->e_entry = offsetof(struct tiny, code)));
	with("dyn at an address", h->e_type = ET_DYN);
	with("dyn aligned", (h->e_type = ET_DYN, p->p_vaddr = 0, p->p_align = 1 << 21, h->e_entry = offsetof(struct tiny, code)));
	with("dyn align odd", (h->e_type = ET_DYN, p->p_vaddr = 0, p->p_align = 12345, h->e_entry = offsetof(struct tiny, code)));
	with("filesz > memsz", p->p_memsz = 10);
	with("memsz huge", p->p_memsz = 1UL << 50);
	with("memsz overflow", p->p_memsz = ~0UL);
	with("vaddr huge", p->p_vaddr = ~0UL << 12);
	with("vaddr beyond", p->p_vaddr = 1UL << 47);
	with("vaddr to the end", p->p_vaddr = (1UL << 47) - 4096);
	with("vaddr 0", p->p_vaddr = 0);
	with("offset odd", p->p_offset = 1);
	with("offset huge", p->p_offset = ~0UL << 12);
	with("offset beyond the file", (p->p_offset = 8192, p->p_vaddr += 8192));
	with("not executable", p->p_flags = PF_R);
	with("no rights", p->p_flags = 0);
	with("write only", p->p_flags = PF_W | PF_X);
	with("align 0", p->p_align = 0);
	with("align 3", p->p_align = 3);
	with("filesz 0", (p->p_filesz = 0, p->p_memsz = 4096));
	with("bss", (p->p_flags |= PF_W, p->p_memsz = 100000));
	with("bss of a read-only segment", p->p_memsz = 100000);
	with("two segments", (h->e_phnum = 2, p[1] = p[0], p[1].p_vaddr += 0x100000));
	with("two, the same", (h->e_phnum = 2, p[1] = p[0]));
	with("two, descending", (h->e_phnum = 2, p[1] = p[0], p[1].p_vaddr -= 0x100000));
	with("stack executable", (h->e_phnum = 2, p[1] = (Elf64_Phdr){ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X }));
	struct tiny t = tiny();
	for (size_t size = 0; size < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); size += 13) {
		char name[40];
		sprintf(name, "cut to %zu", size);
		try_data(name, &t, size);
	}
	try_data("cut to the header", &t, sizeof(Elf64_Ehdr));
	try_data("cut in the segments", &t, sizeof(Elf64_Ehdr) + 55);
	try_data("cut after one", &t, sizeof(Elf64_Ehdr) + 56);
}

static void interpreters(void)
{
	with("interpreter is not there", interpreter(&t, "/nowhere/ld.so", 15));
	with("interpreter not ended", interpreter(&t, "/nowhere/ld.so", 14));
	with("interpreter of 1", interpreter(&t, "", 1));
	with("interpreter too long", interpreter(&t, "/nowhere", 5000));
	with("interpreter beyond the file", (interpreter(&t, "/nowhere", 9), p->p_offset = 100000));
	with("interpreter is a directory", interpreter(&t, "/tmp", 5));
	with("interpreter with a NUL inside", interpreter(&t, "/nowhere\0xx", 12));
	make_file("/tmp/exec/plain", "hello", 5, 0644);
	with("interpreter not executable", interpreter(&t, "/tmp/exec/plain", 16));
	make_file("/tmp/exec/plain", "hello", 5, 0755);
	with("interpreter too short", interpreter(&t, "/tmp/exec/plain", 16));
	char text[200] = "no ELF file, but long enough to be one";
	make_file("/tmp/exec/plain", text, sizeof(text), 0755);
	with("interpreter no ELF", interpreter(&t, "/tmp/exec/plain", 16));
	struct tiny ld = tiny();
	ld.code[0] = 0x02b00513; /* li a0,43 */
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter at the same place", interpreter(&t, "/tmp/exec/ld", 13));
	ld.header.e_type = ET_DYN;
	ld.segments[0].p_vaddr = 0;
	ld.header.e_entry = offsetof(struct tiny, code);
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter", interpreter(&t, "/tmp/exec/ld", 13));
	with("interpreter of a pie", (interpreter(&t, "/tmp/exec/ld", 13), h->e_type = ET_DYN, p[1].p_vaddr = 0, h->e_entry = 1000));
	ld.header.e_machine = EM_X86_64;
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter for x86-64", interpreter(&t, "/tmp/exec/ld", 13));
	ld.header.e_machine = EM_RISCV;
	ld.header.e_phnum = 0;
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter without segments", interpreter(&t, "/tmp/exec/ld", 13));
	ld.header.e_phnum = 1;
	ld.header.e_type = ET_REL;
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter is REL", interpreter(&t, "/tmp/exec/ld", 13));
	ld.header.e_type = ET_DYN;
	ld.segments[0].p_type = PT_NOTE;
	make_file("/tmp/exec/ld", &ld, sizeof(ld), 0755);
	with("interpreter without load", interpreter(&t, "/tmp/exec/ld", 13));
}

static void try_script(const char *name, const char *text)
{
	make_file("/tmp/exec/script", text, strlen(text), 0755);
	try_exec(name, "/tmp/exec/script");
}

static void scripts(void)
{
	char line[600];
	try_script("script", "#!/tmp/exec/self args\n");
	try_script("script with blanks", "#! \t /tmp/exec/self \t args  two \t\nmore\n");
	try_script("script without argument", "#!/tmp/exec/self\n");
	try_script("script without newline", "#!/tmp/exec/self args");
	try_script("script, nothing", "#!");
	try_script("script, only a newline", "#!\n");
	try_script("script, blanks", "#!   \t \n");
	try_script("script, not there", "#!/nowhere/at/all\n");
	try_script("script, relative", "#!self\n");
	try_script("script, a directory", "#!/tmp\n");
	try_script("script of itself", "#!/tmp/exec/script\n");
	try_script("text", "echo hello\n");
	sprintf(line, "#!/tmp/exec/self %0300d\n", 7);
	try_script("argument too long", line);
	sprintf(line, "#!%0300d\n", 7);
	try_script("name too long", line);
	sprintf(line, "#!%*s/tmp/exec/self\n", 280, "");
	try_script("blanks only in what is read", line);
	for (int depth = 1; depth <= 6; depth++) {
		char path[64], text[96], name[32];
		sprintf(path, "/tmp/exec/s%d", depth);
		if (depth == 1)
			sprintf(text, "#!/tmp/exec/self args\n");
		else
			sprintf(text, "#!/tmp/exec/s%d d%d\n", depth - 1, depth);
		make_file(path, text, strlen(text), 0755);
		sprintf(name, "depth %d", depth);
		try_exec(name, path);
	}
}

static void refusals(void)
{
	char *argv[] = { "self", "args", NULL };
	try_exec("nothing there", "/tmp/exec/none");
	try_exec("empty path", "");
	try_exec("directory", "/tmp");
	try_exec("below a file", "/tmp/exec/plain/x");
	try_exec("device", "/dev/null");
	make_file("/tmp/exec/plain", "#!/tmp/exec/self\n", 17, 0644);
	try_exec("not executable", "/tmp/exec/plain");
	char path[5000];
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[4999] = 0;
	try_exec("path too long", path);
	try_exec("path bad", (char *)16);
	try_exec_env("argv bad", "/tmp/exec/self", (char **)16, empty_env);
	try_exec_env("envp bad", "/tmp/exec/self", argv, (char **)16);
	char *bad[] = { "self", (char *)16, NULL };
	try_exec_env("a string bad", "/tmp/exec/self", bad, empty_env);
	try_exec_env("an environment string bad", "/tmp/exec/self", argv, bad);
	try_exec_env("argv NULL", "/tmp/exec/self", NULL, empty_env);
	try_exec_env("envp NULL", "/tmp/exec/self", argv, NULL);

	char *big = malloc(200000);
	memset(big, 'x', 200000);
	char *one[] = { "self", "args", big, NULL };
	big[131072] = 0;
	try_exec_env("a string of 131072", "/tmp/exec/self", one, empty_env);
	big[131072] = 'x';
	big[199999] = 0;
	try_exec_env("a string of 199999", "/tmp/exec/self", one, empty_env);
	memset(big, 'x', 200000);
	big[131071] = 0;
	try_exec_env("a string of 131071", "/tmp/exec/self", one, empty_env);
	big[100000] = 0;
	static char *many[40000];
	many[0] = "self";
	many[1] = "args";
	for (int n = 15; n <= 25; n += 10) {
		for (int i = 2; i < n + 2; i++)
			many[i] = big;
		many[n + 2] = NULL;
		char name[40];
		sprintf(name, "%d strings of 100000", n);
		try_exec_env(name, "/tmp/exec/self", many, empty_env);
	}
	for (int i = 2; i < 39999; i++)
		many[i] = "";
	many[39999] = NULL;
	try_exec_env("40000 strings", "/tmp/exec/self", many, empty_env);
	in_child({
		struct rlimit limit = { 600000, RLIM_INFINITY };
		setrlimit(RLIMIT_STACK, &limit);
		for (int i = 2; i < 10; i++)
			many[i] = i == 2 ? big : "";
		many[10] = NULL;
		try_exec_env("100000 with a small stack", "/tmp/exec/self", many, empty_env);
		many[3] = big;
		try_exec_env("200000 with a small stack", "/tmp/exec/self", many, empty_env);
	});
}

/* What the new program sees, when asked with "state". */
static void show_state(void)
{
	sigset_t set, pending;
	sigprocmask(SIG_BLOCK, NULL, &set);
	sigpending(&pending);
	struct sigaction usr1, usr2, chld;
	sigaction(SIGUSR1, NULL, &usr1);
	sigaction(SIGUSR2, NULL, &usr2);
	sigaction(SIGCHLD, NULL, &chld);
	printf("blocked USR1 %d TERM %d, pending USR1 %d\n", sigismember(&set, SIGUSR1), sigismember(&set, SIGTERM), sigismember(&pending, SIGUSR1));
	printf("USR1 %s, USR2 %s, CHLD %s flags %x\n", usr1.sa_handler == SIG_DFL ? "default" : "?", usr2.sa_handler == SIG_IGN ? "ignored" : "?",
	       chld.sa_handler == SIG_DFL ? "default" : "?", chld.sa_flags & ~0x4000000);
	stack_t alt;
	sigaltstack(NULL, &alt);
	printf("altstack %d\n", alt.ss_flags == SS_DISABLE);
	printf("fd 10 %s, fd 11 %s\n", fcntl(10, F_GETFD) < 0 ? "closed" : "open", fcntl(11, F_GETFD) < 0 ? "closed" : "open");
	printf("nice %d, umask %o\n", nice(0), umask(0));
	char comm[17] = "";
	prctl(PR_GET_NAME, comm);
	printf("comm %s, pdeath %d, keepcaps %d, nnp %d, subreaper %d\n", comm, ({ int s = -1; prctl(PR_GET_PDEATHSIG, &s); s; }),
	       prctl(PR_GET_KEEPCAPS), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), ({ int s = -1; prctl(PR_GET_CHILD_SUBREAPER, &s); s; }));
	printf("tid is pid %d\n", getpid() == (int)syscall(SYS_gettid));
	printf("timer %s\n", alarm(0) > 0 ? "runs" : "none");
	printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
}

static void handler(int sig)
{
	(void)sig;
}

static void survivors(void)
{
	in_child({
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signal(SIGUSR1, handler);
		signal(SIGUSR2, SIG_IGN);
		struct sigaction chld = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_NOCLDSTOP };
		sigaction(SIGCHLD, &chld, NULL);
		raise(SIGUSR1);
		static char stack[65536];
		sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
		dup2(0, 10);
		dup3(0, 11, O_CLOEXEC);
		nice(3);
		umask(027);
		prctl(PR_SET_PDEATHSIG, SIGHUP);
		prctl(PR_SET_KEEPCAPS, 1);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		prctl(PR_SET_NAME, "another name");
		prctl(PR_SET_DUMPABLE, 0);
		alarm(1000);
		execl("/tmp/exec/self", "self", "state", NULL);
	});
}

static void *exec_here(void *arg)
{
	(void)arg;
	execl("/tmp/exec/self", "self", "thread", NULL);
	return NULL;
}
static void *wait_forever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void threads(void)
{
	int status = in_child({
		pthread_t thread;
		char pid[20];
		sprintf(pid, "%d", getpid());
		setenv("OLD_PID", pid, 1);
		pthread_create(&thread, NULL, wait_forever, NULL);
		pthread_create(&thread, NULL, wait_forever, NULL);
		pthread_create(&thread, NULL, exec_here, NULL);
		wait_forever(NULL);
	});
	show("exec by a thread ends with", WEXITSTATUS(status));
	status = in_child({
		pthread_t thread;
		char pid[20];
		sprintf(pid, "%d", getpid());
		setenv("OLD_PID", pid, 1);
		pthread_create(&thread, NULL, wait_forever, NULL);
		exec_here(NULL);
	});
	show("exec by the leader ends with", WEXITSTATUS(status));
}

static void descriptors(void)
{
	char *argv[] = { "fd", "args", NULL };
	fflush(stdout);
	show("execveat", in_child({
		int fd = open("/tmp/exec", O_PATH);
		syscall(SYS_execveat, fd, "self", argv, empty_env, 0);
		_exit(errno);
	}) >> 8);
	show("fexecve", in_child({
		int fd = open("/tmp/exec/self", O_PATH | O_CLOEXEC);
		syscall(SYS_execveat, fd, "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno);
	}) >> 8);
	make_file("/tmp/exec/script", "#!/tmp/exec/self args\n", 22, 0755);
	show("fexecve of a script, close on exec", in_child({
		int fd = open("/tmp/exec/script", O_RDONLY | O_CLOEXEC);
		syscall(SYS_execveat, fd, "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno == ENOENT ? 99 : errno);
	}) >> 8);
	show("fexecve of a script", in_child({
		int fd = open("/tmp/exec/script", O_RDONLY);
		dup2(fd, 7);
		syscall(SYS_execveat, 7, "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno);
	}) >> 8);
	struct tiny t = tiny();
	int program = memfd_create("program", 0);
	write(program, &t, sizeof(t));
	show("fexecve of a memfd", in_child({
		syscall(SYS_execveat, program, "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno);
	}) >> 8);
	fchmod(program, 0600);
	show("fexecve of one without x", in_child({
		syscall(SYS_execveat, program, "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno == EACCES ? 99 : errno);
	}) >> 8);
	int ends[2];
	pipe(ends);
	show("fexecve of a pipe", in_child({
		syscall(SYS_execveat, ends[0], "", argv, empty_env, AT_EMPTY_PATH);
		_exit(errno == EACCES ? 99 : errno);
	}) >> 8);
	char text[32];
	show("linkat of a memfd", linkat(program, "", AT_FDCWD, "/tmp/exec/linked", AT_EMPTY_PATH));
	show("readlinkat of a memfd", readlinkat(program, "", text, sizeof(text)));
	close(program);
	int whole = memfd_create("myself", 0), self = open("/proc/self/exe", O_RDONLY);
	struct stat st;
	fstat(self, &st);
	ftruncate(whole, st.st_size);
	sendfile(whole, self, NULL, st.st_size);
	fflush(stdout);
	in_child({
		char *arguments[] = { "self", "names", NULL };
		syscall(SYS_execveat, whole, "", arguments, empty_env, AT_EMPTY_PATH);
	});
	close(whole);
	close(self);
	symlink("/tmp/exec/self", "/tmp/exec/link");
	show("execveat of a link, not followed", in_child({
		syscall(SYS_execveat, AT_FDCWD, "/tmp/exec/link", argv, empty_env, AT_SYMLINK_NOFOLLOW);
		_exit(errno == ELOOP ? 99 : errno);
	}) >> 8);
	show("execveat with bad flags", in_child({
		syscall(SYS_execveat, AT_FDCWD, "/tmp/exec/self", argv, empty_env, 0x4);
		_exit(errno == EINVAL ? 99 : errno);
	}) >> 8);
	show("execveat of a bad descriptor", in_child({
		syscall(SYS_execveat, 99, "self", argv, empty_env, 0);
		_exit(errno == EBADF ? 99 : errno);
	}) >> 8);
	show("execveat of a file as directory", in_child({
		int fd = open("/tmp/exec/self", O_RDONLY);
		syscall(SYS_execveat, fd, "self", argv, empty_env, 0);
		_exit(errno == ENOTDIR ? 99 : errno);
	}) >> 8);
}

static void set_ids(void)
{
	chmod("/", 0755); /* where the reference ran, it was root's alone */
	static char copy[1 << 20];
	int fd = open("/proc/self/exe", O_RDONLY);
	long size = read(fd, copy, sizeof(copy));
	close(fd);
	make_file("/tmp/exec/suid", copy, size, 0755);
	chown("/tmp/exec/suid", 1234, 2345);
	chmod("/tmp/exec/suid", 06755);
	in_child(execl("/tmp/exec/suid", "suid", "ids", NULL));
	in_child({
		setresgid(55, 55, 55);
		setresuid(44, 44, 44);
		execl("/tmp/exec/suid", "suid", "ids", NULL);
	});
	in_child({
		setresgid(55, 55, 55);
		setresuid(44, 44, 44);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		execl("/tmp/exec/suid", "suid", "ids", NULL);
	});
	chmod("/tmp/exec/suid", 04755);
	chown("/tmp/exec/suid", 0, 0);
	chmod("/tmp/exec/suid", 04755);
	in_child({
		setresgid(55, 55, 55);
		setresuid(44, 44, 44);
		execl("/tmp/exec/suid", "suid", "ids", NULL);
	});
	in_child({
		setresuid(44, 44, 44);
		execl("/tmp/exec/self", "self", "ids", NULL);
	});
	in_child({
		setresuid(44, 0, 0);
		execl("/tmp/exec/self", "self", "ids", NULL);
	});
	in_child({
		setresuid(0, 44, 44);
		execl("/tmp/exec/self", "self", "ids", NULL);
	});
}

static void show_ids(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	printf("uids %d %d %d gids %d %d %d secure %lu dumpable %d\n", r, e, s, rg, eg, sg, getauxval(AT_SECURE), prctl(PR_GET_DUMPABLE));
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "CapPrm", 6) || !strncmp(line, "CapEff", 6))
			fputs(line, stdout);
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "state")) {
		show_state();
	} else if (argc > 1 && !strcmp(argv[1], "names")) {
		char comm[17] = "", exe[64] = "";
		prctl(PR_GET_NAME, comm);
		readlink("/proc/self/exe", exe, sizeof(exe) - 1);
		printf("comm %s, exe %s\n", comm, exe);
	} else if (argc > 1 && !strcmp(argv[1], "ids")) {
		show_ids();
	} else if (argc > 1 && !strcmp(argv[1], "thread")) {
		printf("pid is the same %d, tid is pid %d\n", getpid() == atoi(getenv("OLD_PID")), getpid() == (int)syscall(SYS_gettid));
		long threads = proc_number("/proc/self/status", "Threads:");
		printf("threads %ld\n", threads);
		return 7;
	} else if (argc != 1 || !strstr(argv[0], "proc-exec")) {
		char comm[17] = "";
		prctl(PR_GET_NAME, comm);
		printf("argc %d", argc);
		for (int i = 0; i < argc && i < 10; i++)
			printf(strlen(argv[i]) < 300 ? " [%s]" : " (long)", argv[i]);
		printf(" fn %s comm %s\n", (char *)getauxval(AT_EXECFN), comm);
		return 5;
	} else {
		mkdir("/tmp/exec", 0777);
		static char copy[1 << 20];
		int fd = open("/proc/self/exe", O_RDONLY);
		long size = read(fd, copy, sizeof(copy));
		close(fd);
		make_file("/tmp/exec/self", copy, size, 0755);
		headers();
		interpreters();
		scripts();
		refusals();
		survivors();
		threads();
		descriptors();
		set_ids();
	}
	return 0;
}
